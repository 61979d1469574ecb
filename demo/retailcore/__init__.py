"""RetailCore: a ten-year-old web shop on MySQL, with every wart such a database collects.

Holds the schema, the data, the traffic, the invariants and the mapping into three stores. Knows nothing of crossfade's
own code: it is what an outsider would bring.
"""

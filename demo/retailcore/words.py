"""Literals for generated rows, ready for SQL text: nothing here needs escaping (no quote, no backslash).

Latin-1 pools hold what cp1252 can say, with the characters on which ISO-8859-1 fails; the others need four-byte UTF-8.
"""

from __future__ import annotations

FIRST_NAMES = (
    "Anna", "José", "Zoë", "Jürgen", "Renée", "Björn", "Šimon", "Mary", "Chloé", "Ömer", "Inês", "Paul", "Åsa",
    "François", "Søren", "Lucía", "Ünal", "Œnone", "Peter", "Ýr",
)  # fmt: skip
LAST_NAMES = (
    "Müller", "García", "Smith", "Lefèvre", "Nuñez", "Žižka", "Groß", "Åkesson", "Peña", "de Sá", "Brontë", "Weiß",
    "Ångström", "Schäfer", "Ibáñez", "Dupré", "Jones", "Mc Coy", "Þórsson", "Çelik",
)  # fmt: skip
NICKNAMES = ("🦄 sparkle", "ninja🥷", "Ωmega", "东京 shopper", "plain", "👩‍👧 mum", "Ёлка", "naïve", "𝔊othic", "💥")
STREETS = ("Königstraße", "Rue de l’Église", "Calle Mayor", "Main Street", "Østergade", "Piata Unirii – bloc 5")
CITIES = ("Köln", "Genève", "Łódź", "São Paulo", "東京", "Praha", "Málaga", "Reykjavík", "Αθήνα", "Gent")
COUNTRIES = ("DE", "FR", "ES", "GB", "PL", "CH", "SE", "PT")
AGENTS = ("Mozilla/4.0 (compatible; MSIE 6.0)", "Mozilla/5.0 (X11)", "Opera/9.80", "curl/7.19", "Café-Browser/2 “beta”")
PATHS = ("/", "/search?q=caf%C3%A9", "/cart", "/category/12", "/checkout", "/account", "/help/retouren-für-€")
CATEGORY_NAMES = (
    "Küche", "Books", "Jouets", "Garden 🌻", "Électronique", "Möbel", "Sports ⚽", "Música", "Tea 🍵", "Sale",
)  # fmt: skip
BRAND_NAMES = (
    "Nordlicht", "Crème & Co", "Zürich Tools", "Ibérica", "€urowatt", "Acme", "Œuvre", "Smörgås", "Šport", "Ñandú",
)  # fmt: skip
PRODUCT_WORDS = (
    "Tasse", "Café crème", "Lamp", "Fauteuil", "Kühlschrank", "Shirt", "Jouet", "Knife – forged", "Béret", "Röstofen",
    "Chair", "Piñata", "Wok™", "Teapot", "Socken", "5€-Box",
)  # fmt: skip
INTERNATIONAL = ("コーヒー ☕", "Чайник 🫖", "杯子", "Κούπα", "🎁 mystery", "فنجان", "Ghế", "плед 🧣")
DESCRIPTIONS = (
    "Solid and simple.", "Spülmaschinenfest – ohne Gewähr", "Le meilleur à 9,99 €", "“As seen on TV”", "",
    "A long story of craft, wood and patience, told since 1974 in our own workshop.",
)  # fmt: skip
JSON_TEXTS = (
    '{"color": "rouge foncé", "size": {"h": 30, "w": 12}}',
    '{"tags": ["new", "déjà vu", "🎉"], "rating": 4.5, "stock": null}',
    '{"big": 18446744073709551615, "small": -9223372036854775808}',
    '{"nested": [[1, 2, [3]], {"deep": {"er": true}}], "empty": {}}',
    '[]',
    'null',
    '{"weight": 1.10, "unit": "kg", "": "empty name"}',
    '{"émoji": "👍🏽", "html": "<b>fett</b>"}',
)  # fmt: skip
TAGS = ("new", "été", "eco", "gift 🎁", "winter", "größe xl", "vegan", "b2b", "outlet", "中文")
REVIEW_BODIES = (
    "👍👍👍", "Très bon, merci ❤️", "Kaputt nach 2 Wochen 😡", "It is a cup.", "五つ星 ⭐⭐⭐⭐⭐", "so lala",
)  # fmt: skip
GIFTS = ("Happy birthday 🎂", "Alles Gute, Oma! 👵", "Felicidades 🎉", "お誕生日おめでとう")
NOTES = ("ring twice", "hinten abstellen – Hund!", "laissez à côté", "bitte keine 50€-Scheine", "")
REASONS = ("broken", "zu spät", "pas à mon goût", "double order", "price match – 5 €")
AUDIT_ACTIONS = ("login", "update", "export", "heartbeat", "print", "delete")
GROUPS = (("RETAIL", "private customers"), ("TRADE", "Händler – netto"), ("VIP", "très importants"), ("STAFF", "us"))
"""Customer groups: code and description."""

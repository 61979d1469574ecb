# C types of runs.py; see there.
cimport cython

from sync.mysql.octets cimport little


cdef enum:
    HEADER = 19
    PACKET_HEADER = 5
    LEAST = 8
    MOST = 262144
    TABLE_MAP = 19
    ARTIFICIAL = 32


@cython.locals(
    data=cython.p_const_uchar, rows=bytes, pieces=list, at=Py_ssize_t, event=Py_ssize_t, size=Py_ssize_t, sized=Py_ssize_t,
    after=Py_ssize_t, kind=cython.uchar, position=cython.ulonglong
)
cpdef tuple take_run(bytearray buffer, Py_ssize_t start, Py_ssize_t end, bint checked, unsigned long long offset)


@cython.locals(
    data=cython.p_const_uchar, found=list, at=Py_ssize_t, end=Py_ssize_t, size=Py_ssize_t, body=Py_ssize_t,
    after=Py_ssize_t, kind=cython.uchar, table=cython.ulonglong
)
cpdef list rows_of(bytes run, Py_ssize_t checksum, dict maps)

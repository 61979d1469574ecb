# C types of jsonb.py; see there.
cimport cython

from sync.mysql.forms cimport FieldForm
from sync.mysql.octets cimport little, little_signed, plain_run
from sync.mysql.sink cimport Sink, put, put_bytes, put_slice


cdef class JsonForm(FieldForm):
    @cython.locals(mark=Py_ssize_t)
    cdef int write(self, Sink sink, const unsigned char* data, Py_ssize_t start, Py_ssize_t length, bint copy) except -1
    cdef int value(self, Sink sink, const unsigned char* data, int kind, Py_ssize_t at, Py_ssize_t end) except -1
    @cython.locals(wide=int, count=Py_ssize_t, size=Py_ssize_t, index=Py_ssize_t, entry=Py_ssize_t, key=Py_ssize_t,
                   where=Py_ssize_t, kind=int, first=Py_ssize_t, limit=Py_ssize_t)
    cdef int container(self, Sink sink, const unsigned char* data, bint keyed, bint large, Py_ssize_t at, Py_ssize_t end) except -1
    @cython.locals(width=int)
    cdef int scalar(self, Sink sink, const unsigned char* data, int kind, Py_ssize_t at, Py_ssize_t end) except -1
    @cython.locals(index=Py_ssize_t, octet=cython.uchar, plain=Py_ssize_t, stop=Py_ssize_t, short=int)
    cdef int string(self, Sink sink, const unsigned char* data, Py_ssize_t at, Py_ssize_t length, Py_ssize_t end) except -1
    @cython.locals(index=int, octet=int, value=cython.longlong)
    cdef Py_ssize_t varlen(self, const unsigned char* data, Py_ssize_t at, Py_ssize_t end) except -1
    @cython.locals(length=cython.longlong)
    cdef int long_string(self, Sink sink, const unsigned char* data, Py_ssize_t at, Py_ssize_t end) except -1
    @cython.locals(field=int, length=cython.longlong, text=bytes)
    cdef int opaque(self, Sink sink, const unsigned char* data, Py_ssize_t at, Py_ssize_t end) except -1

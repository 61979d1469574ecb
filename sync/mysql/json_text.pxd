# C types of json_text.py; see there.
cimport cython

from sync.mysql.sink cimport Sink, put, put_bytes, put_slice


cdef enum:
    DEEPEST = 200
    NOT_PLAIN = -1


cpdef bytes plain_document(bytes text)
@cython.locals(mark=Py_ssize_t, behind=Py_ssize_t, found=bytes)
cdef bytes put_plain_document(Sink sink, bytes text)
@cython.locals(at=Py_ssize_t)
cdef Py_ssize_t blank(const unsigned char* data, Py_ssize_t start, Py_ssize_t end) except -2
@cython.locals(at=Py_ssize_t, octet=cython.uchar, word=bytes)
cdef Py_ssize_t put_value(Sink sink, const unsigned char* data, Py_ssize_t start, Py_ssize_t end, int depth) except -2
@cython.locals(at=Py_ssize_t)
cdef Py_ssize_t put_string(Sink sink, const unsigned char* data, Py_ssize_t start, Py_ssize_t end) except -2
@cython.locals(at=Py_ssize_t, first=Py_ssize_t, point=Py_ssize_t, nonzero=bint)
cdef Py_ssize_t put_number(Sink sink, const unsigned char* data, Py_ssize_t start, Py_ssize_t end) except -2
@cython.locals(at=Py_ssize_t)
cdef Py_ssize_t put_array(Sink sink, const unsigned char* data, Py_ssize_t start, Py_ssize_t end, int depth) except -2
@cython.locals(at=Py_ssize_t, behind=Py_ssize_t, mark=Py_ssize_t, name=bytes, previous=bytes, member=bytes, members=list)
cdef Py_ssize_t put_object(Sink sink, const unsigned char* data, Py_ssize_t start, Py_ssize_t end, int depth) except -2

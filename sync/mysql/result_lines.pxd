# C types of result_lines.py; see there.
cimport cython
from libc.string cimport memchr

from sync.mysql.forms cimport EnumForm, FieldForm
from sync.mysql.kernel cimport LineColumn
from sync.mysql.octets cimport little
from sync.mysql.sink cimport Sink, put, put_bytes, put_slice


cdef inline Py_ssize_t* numbers(bytearray room):
    return <Py_ssize_t*><char*>room


cdef enum:
    IS_NULL = -1
    NULL_MARK = 0xFB
    END_MARK = 0xFE
    ERROR_MARK = 0xFF
    LARGEST = 0xFFFFFF


@cython.locals(data=cython.p_const_uchar, total=Py_ssize_t, behind=Py_ssize_t, last=Py_ssize_t, count=Py_ssize_t,
               at=Py_ssize_t, size=Py_ssize_t)
cpdef tuple whole_rows(bytes body)


cdef class PrintedForm(FieldForm):
    cdef bytes tail

    cdef int write(self, Sink sink, const unsigned char* data, Py_ssize_t start, Py_ssize_t length, bint copy) except -1


cdef class VerbatimForm(FieldForm):
    cdef int write(self, Sink sink, const unsigned char* data, Py_ssize_t start, Py_ssize_t length, bint copy) except -1


cdef class NumberForm(FieldForm):
    @cython.locals(at=Py_ssize_t, end=Py_ssize_t, index=Py_ssize_t, negative=bint, nonzero=bint, octet=cython.uchar)
    cdef int write(self, Sink sink, const unsigned char* data, Py_ssize_t start, Py_ssize_t length, bint copy) except -1


cdef class EnumNumberForm(EnumForm):
    @cython.locals(at=Py_ssize_t, index=Py_ssize_t, octet=cython.uchar)
    cdef int write(self, Sink sink, const unsigned char* data, Py_ssize_t start, Py_ssize_t length, bint copy) except -1


cdef class ResultRows:
    cdef readonly Py_ssize_t width
    cdef bytearray room
    cdef Py_ssize_t* starts
    cdef Py_ssize_t* lengths

    @cython.locals(data=cython.p_const_uchar, at=Py_ssize_t, end=Py_ssize_t, size=Py_ssize_t)
    cdef int walk(self, bytes body) except -1
    @cython.locals(at=Py_ssize_t, size=Py_ssize_t, joined=bytes)
    cdef Py_ssize_t long_row(self, bytes body, Py_ssize_t start) except -1
    @cython.locals(at=Py_ssize_t, index=Py_ssize_t, size=Py_ssize_t, width=int)
    cdef int split(self, const unsigned char* data, Py_ssize_t start, Py_ssize_t end) except -1
    cdef int row(self, const unsigned char* data) except -1


cdef class ResultLines(ResultRows):
    cdef list columns
    cdef Sink sink

    cpdef bytes lines(self, bytes body)
    @cython.locals(index=Py_ssize_t, column=LineColumn)
    cdef int row(self, const unsigned char* data) except -1

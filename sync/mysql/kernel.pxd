# C types of kernel.py; see there.
cimport cython
from libc.string cimport memchr, memcmp

from sync.mysql.forms cimport FieldForm, PLAIN_BYTES
from sync.mysql.octets cimport little
from sync.mysql.sink cimport Sink, put, put_bytes


cdef inline Py_ssize_t* numbers(bytearray room):
    return <Py_ssize_t*><char*>room


cdef enum:
    IS_ABSENT = -2
    IS_NULL = -1
    NEVER = 0
    ALWAYS = 1
    IF_NUL = 2
    IF_BACKSLASH = 4
    IF_LONGER = 8
    IF_ODD_DATE = 16


@cython.final
cdef class LineColumn:
    cdef Py_ssize_t source
    cdef bytes constant
    cdef FieldForm form
    cdef int guard
    cdef Py_ssize_t limit
    cdef tuple converts

    @cython.locals(at=cython.p_uchar, size=Py_ssize_t)
    cdef bint suspicious(self, Sink sink, Py_ssize_t mark) except -1
    @cython.locals(mark=Py_ssize_t)
    cdef int write(self, Sink sink, const unsigned char* data, Py_ssize_t start, Py_ssize_t length) except -1
    @cython.locals(mark=Py_ssize_t)
    cdef int plain(self, Sink sink, const unsigned char* data, Py_ssize_t start, Py_ssize_t length) except -1


@cython.final
cdef class RowReader:
    cdef readonly str table
    cdef readonly list names
    cdef list forms
    cdef Py_ssize_t count
    cdef Sink sink
    cdef bytearray room
    cdef Py_ssize_t* starts
    cdef Py_ssize_t* lengths
    cdef Py_ssize_t* fixed
    cdef Py_ssize_t* prefixes
    cdef bytearray edge_room
    cdef Py_ssize_t* edges
    cdef Py_ssize_t at
    cdef Py_ssize_t end
    cdef Py_ssize_t present_before
    cdef Py_ssize_t present_after
    cdef Py_ssize_t held_before
    cdef Py_ssize_t held_after
    cdef Py_ssize_t column
    cdef list columns
    cdef list key
    cdef list uniques
    cdef bytes body
    cdef Py_ssize_t long_bytes
    cdef list long_values
    cdef bytearray old_room
    cdef Py_ssize_t* old_starts
    cdef Py_ssize_t* old_lengths

    @cython.locals(first=int, width=int, value=cython.ulonglong)
    cdef Py_ssize_t lenenc(self, const unsigned char* data) except -1
    @cython.locals(extra=Py_ssize_t, columns=cython.longlong, bitmap=Py_ssize_t, index=Py_ssize_t)
    cdef int open(self, const unsigned char* data, Py_ssize_t end, bint extended, bint before, bint after) except -1
    cdef int must_pass(self, Py_ssize_t reached) except -1
    @cython.locals(index=Py_ssize_t, bit=Py_ssize_t, nulls=Py_ssize_t, at=Py_ssize_t, length=Py_ssize_t, held=Py_ssize_t)
    cdef int locate(self, const unsigned char* data, Py_ssize_t present) except -1
    @cython.locals(index=Py_ssize_t, mark=Py_ssize_t, form=FieldForm, row=list, length=Py_ssize_t)
    cdef tuple image(self, const unsigned char* data, Py_ssize_t present, Py_ssize_t number, object refused)
    @cython.locals(data=cython.p_const_uchar, number=Py_ssize_t, reached=Py_ssize_t)
    cpdef list values(self, bytes body, bint extended, bint before, bint after, object refused=*)
    @cython.locals(index=Py_ssize_t, column=LineColumn, length=Py_ssize_t, source=Py_ssize_t, sink=Sink, columns=list)
    cdef int line(self, const unsigned char* data) except -1
    @cython.locals(column=LineColumn, form=FieldForm, start=Py_ssize_t, length=Py_ssize_t)
    cdef bint leave(self, const unsigned char* data, Py_ssize_t index) except -1
    cdef object taken(self)
    @cython.locals(index=Py_ssize_t, position=Py_ssize_t, column=LineColumn, mark=Py_ssize_t, length=Py_ssize_t)
    cdef bytes key_of_image(self, const unsigned char* data)
    @cython.locals(index=Py_ssize_t, position=Py_ssize_t, mark=Py_ssize_t, start=Py_ssize_t)
    cdef bytes key_of_line(self, Py_ssize_t mark)
    @cython.locals(place=Py_ssize_t, index=Py_ssize_t)
    cdef int keep_uniques(self) except -1
    @cython.locals(place=Py_ssize_t, index=Py_ssize_t, length=Py_ssize_t, old=Py_ssize_t, new=Py_ssize_t)
    cdef bint unique_changed(self, const unsigned char* data) except -1
    @cython.locals(index=Py_ssize_t, column=LineColumn, position=Py_ssize_t)
    cdef bint covers(self, const unsigned char* data, Py_ssize_t present, bint whole) except -1
    @cython.locals(data=cython.p_const_uchar, number=Py_ssize_t, reached=Py_ssize_t, mark=Py_ssize_t, olds=list, news=list, texts=list, moved=list, watched=bint)
    cpdef object lines(self, bytes body, bint extended, bint before, bint after)

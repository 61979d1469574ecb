# C types of result_records.py; see there.
cimport cython

from sync.mysql.forms cimport FieldForm
from sync.mysql.json_text cimport put_plain_document
from sync.mysql.kernel cimport LineColumn
from sync.mysql.result_lines cimport ResultRows
from sync.mysql.sink cimport Sink, put, put_bytes


cdef enum:
    IS_NULL = -1
    AS_IS = 0
    INTEGER = 1
    DECIMAL = 2
    MOMENT = 3
    INSTANT = 4
    DOCUMENT = 5
    SEPARATOR = 0x1F
    NULL = 0x4E
    DIGITS = 18


@cython.final
cdef class RecordColumn:
    cdef LineColumn line
    cdef object value
    cdef bytes fixed
    cdef int how
    cdef Py_ssize_t digits
    cdef bint free
    cdef object convert

    @cython.locals(how=int, found=bytes)
    cdef bytes canonical(self, Sink sink, bytes text)


@cython.final
cdef class SourceField:
    cdef Py_ssize_t ordinal
    cdef Py_ssize_t place
    cdef FieldForm form


cdef class ResultDigests(ResultRows):
    cdef list columns
    cdef list reads
    cdef list blank
    cdef Py_ssize_t key
    cdef long long divisor
    cdef object accepts
    cdef object leaf_of
    cdef object refused
    cdef Sink sink
    cdef dict found
    cdef object leaf
    cdef unsigned long long count
    cdef unsigned long long high
    cdef unsigned long long low

    cpdef int add(self, bytes body) except -1
    cpdef dict digests(self)
    @cython.locals(key=bytes, row_hash=cython.ulonglong)
    cdef int row(self, const unsigned char* data) except -1
    cdef int enter(self, object leaf, unsigned long long row_hash) except -1
    cdef int flush(self) except -1
    @cython.locals(sink=Sink, row=tuple, key=bytes, index=Py_ssize_t, column=RecordColumn, line=LineColumn, mark=Py_ssize_t, text=bytes)
    cdef bytes record(self, const unsigned char* data)
    @cython.locals(row=list, read=SourceField, length=Py_ssize_t, mark=Py_ssize_t)
    cdef tuple source_row(self, const unsigned char* data)
    @cython.locals(values=list, index=Py_ssize_t, start=Py_ssize_t)
    cdef list raw(self, const unsigned char* data)


@cython.locals(data=cython.p_const_uchar, size=Py_ssize_t, at=Py_ssize_t, whole=Py_ssize_t, index=Py_ssize_t)
cdef bint is_decimal(bytes text, Py_ssize_t digits) except -1
cdef bytes without_zeros(bytes text, Py_ssize_t size)
@cython.locals(at=Py_ssize_t, index=Py_ssize_t, value=cython.longlong)
cdef long long whole_number(bytes text) except? -1
cdef long long divided(long long value, long long divisor) except? -1
@cython.locals(value=cython.ulonglong, index=Py_ssize_t)
cdef unsigned long long first_60_bits(bytes digest) except? 0

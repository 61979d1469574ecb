# C types of temporals.py; see there.
cimport cython

from sync.mysql.forms cimport FieldForm
from sync.mysql.octets cimport big, little
from sync.mysql.sink cimport Sink, put, put_bytes


cdef class DateForm(FieldForm):
    @cython.locals(packed=int)
    cdef int write(self, Sink sink, const unsigned char* data, Py_ssize_t start, Py_ssize_t length, bint copy) except -1


cdef class DatetimeForm(FieldForm):
    cdef int digits
    cdef int tail
    cdef int scale
    cdef long long middle

    @cython.locals(packed=cython.longlong, months=int, days=int, clock=int)
    cdef int write(self, Sink sink, const unsigned char* data, Py_ssize_t start, Py_ssize_t length, bint copy) except -1


cdef class TimestampForm(FieldForm):
    cdef int digits
    cdef int tail
    cdef int scale
    cdef long long day
    cdef int year
    cdef int month
    cdef int day_of_month

    @cython.locals(seconds=cython.longlong, clock=int)
    cdef int write(self, Sink sink, const unsigned char* data, Py_ssize_t start, Py_ssize_t length, bint copy) except -1
    @cython.locals(shifted=cython.longlong, era=cython.longlong, of_era=cython.longlong, years=cython.longlong,
                   of_year=cython.longlong, march=cython.longlong)
    cdef int find_day(self, long long day) except -1


cdef class TimeForm(FieldForm):
    cdef int digits
    cdef int tail
    cdef int scale
    cdef long long middle

    @cython.locals(packed=cython.longlong, clock=int)
    cdef int write(self, Sink sink, const unsigned char* data, Py_ssize_t start, Py_ssize_t length, bint copy) except -1

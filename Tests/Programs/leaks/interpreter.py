# Blocks of an interpreter. Bytes objects of this size come from malloc; what refers to them are lists in CPython's own
# arenas. Each step is one line of input.
import ctypes
import sys

libc = ctypes.CDLL(None)
libc.malloc.argtypes = [ctypes.c_size_t]
libc.malloc.restype = ctypes.c_void_p


def step():
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()


def lose():
    # A count too high by one: nobody refers to these 30 blocks of 5,033 bytes.
    for _ in range(30):
        lost = bytes(5000)
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(lost))
    # 20 blocks whose addresses are kept as numbers that have another form than a pointer, if at all.
    for _ in range(20):
        libc.malloc(7777)


step()
# 40 blocks of 3,033 bytes, each in a tuple of its own, which is as small as to lie in an arena.
kept = [(bytes(3000),) for _ in range(40)]
lose()
step()

// CCapstone: see include/CCapstone.h.

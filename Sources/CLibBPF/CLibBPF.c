// CLibBPF: see include/CLibBPF.h.

// CTraceABI: see include/CTraceABI.h.

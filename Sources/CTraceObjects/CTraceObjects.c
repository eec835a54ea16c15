// CTraceObjects: see include/CTraceObjects.h.

// CElfUtils: see include/CElfUtils.h.

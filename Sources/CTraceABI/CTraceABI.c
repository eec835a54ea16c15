#include "CTraceABI.h"

// Structs and constants that the BPF programs and the Swift side share.
// Every struct has a fixed layout, asserted here, so a change on one side cannot go unnoticed on the other.
#pragma once

#include "allocation_abi.h"
#include "unwind_abi.h"
#include "unwind_probe_abi.h"

// AllocationTracing

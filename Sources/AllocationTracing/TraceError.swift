import SystemSupport

/// Why something cannot be traced.
package typealias TraceError = Refusal

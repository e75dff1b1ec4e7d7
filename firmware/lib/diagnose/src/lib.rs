//! Bounded probes of a network path, each result as it comes; it never changes a setting.

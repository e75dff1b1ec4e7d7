//! The typed, versioned settings and the files they are kept in; it never applies one.

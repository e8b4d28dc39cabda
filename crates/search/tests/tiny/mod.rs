//! Searches so small that a test can run several.

#![allow(dead_code, reason = "each test binary uses its own part")]

pub mod nets;
pub mod runs;

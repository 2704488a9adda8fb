//! Forged frames of signals: which words of a good one are changed, and to what.

use super::Arg::Made;
use super::{Call, call};
use crate::generate::frames::{place, value};

pub const CALLS: &[Call] = &[
    // Up to three changes, each a place in the frame and a value.
    call("frame", -20, 8, &[Made(place), Made(value), Made(place), Made(value), Made(place), Made(value)]),
    call("frame-one", -21, 8, &[Made(place), Made(value)]),
    // A frame on a stack that ends near its end.
    call("frame-at", -22, 3, &[super::Arg::Place, Made(place), Made(value)]),
    // rt_sigreturn(2) on memory that was never a frame.
    call("return-on", -23, 3, &[super::Arg::Place]),
];

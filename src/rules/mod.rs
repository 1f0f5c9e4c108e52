//! Rules: from YAML text to verdicts on events. Pure: no clock, no state, no I/O.

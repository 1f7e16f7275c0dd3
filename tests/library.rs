//! The library from outside: its parsers, the sandbox, the run on a paused clock, and what the documents claim.

#[expect(dead_code, clippy::unwrap_used, reason = "it is for tests, and those of the program need more of it")]
mod support;
mod library {
    mod copy;
    mod encodings;
    mod input;
    mod input_properties;
    mod ledger_conformance;

    mod parser_properties;
    mod postgres;
    mod readme;
    mod run;
    mod sandbox;
    mod several_lists;
}

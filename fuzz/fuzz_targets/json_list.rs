#![no_main]
use libfuzzer_sys::fuzz_target;
use runner::input::Format;
use runner_fuzz::{plain, read, with_text};

// Tries the bytes as they are, as elements of an array, and in an envelope.
fuzz_target!(|bytes: &[u8]| {
    for (begin, end) in [("", ""), ("[", "]"), (r#"{"MsgList":["#, "]}")] {
        let list = [begin.as_bytes(), bytes, end.as_bytes()].concat();
        read(&list, Format::Json, plain());
        read(&list, Format::Json, with_text());
        read(&list, Format::Jsonl, plain());
    }
});

#![no_main]
use libfuzzer_sys::fuzz_target;
use runner::input::Format;
use runner_fuzz::{gb18030, plain, read, with_text};

fuzz_target!(|bytes: &[u8]| {
    read(bytes, Format::Jsonl, plain());
    read(bytes, Format::Jsonl, gb18030());
    read(bytes, Format::Jsonl, with_text());
    let line = [br#"{"From_Account":"a","To_Account":"b","MsgKey":"k","#.as_slice(), bytes].concat();
    read(&line, Format::Jsonl, plain());
    read(&line, Format::Jsonl, with_text());
});

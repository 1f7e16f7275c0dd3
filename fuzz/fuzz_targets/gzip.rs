#![no_main]
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use libfuzzer_sys::fuzz_target;
use runner::input::Format;
use runner_fuzz::{plain, read};

// Tries the bytes as they are, and as compressed content: split into two members, it is the same list as uncompressed.
fuzz_target!(|bytes: &[u8]| {
    for format in [Format::Csv, Format::Jsonl] {
        read(bytes, format, plain());
        read(&[&[0x1f, 0x8b, 8, 0], bytes].concat(), format, plain());
    }
    if bytes.starts_with(&[0x1f, 0x8b]) {
        return;
    }
    let mut packed = Vec::new();
    let (first, second) = bytes.split_at(bytes.len() / 2);
    for piece in [first, second] {
        let mut packer = GzEncoder::new(&mut packed, Compression::fast());
        packer.write_all(piece).unwrap();
        packer.finish().unwrap();
    }
    for format in [Format::Csv, Format::Jsonl] {
        assert_eq!(read(&packed, format, plain()), read(bytes, format, plain()));
    }
});

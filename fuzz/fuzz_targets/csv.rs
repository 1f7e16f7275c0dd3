#![no_main]
use libfuzzer_sys::fuzz_target;
use runner::input::Format;
use runner_fuzz::{gb18030, plain, read, with_text};

const HEADERS: [&str; 3] =
    ["", "from_account,to_account,msg_key,msg_body\n", "MsgKey,to_account,\"from_account\",a,cloud_custom_data,_x\r\n"];

fuzz_target!(|bytes: &[u8]| {
    for header in HEADERS {
        let list = [header.as_bytes(), bytes].concat();
        read(&list, Format::Csv, plain());
        read(&list, Format::Csv, gb18030());
        let utf16: Vec<u8> = header.encode_utf16().flat_map(u16::to_le_bytes).collect();
        read(&[&[0xff, 0xfe], utf16.as_slice(), bytes].concat(), Format::Csv, plain());
    }
    let list = [b"from_account,to_account,msg_key,a\n", bytes].concat();
    read(&list, Format::Csv, with_text());
});

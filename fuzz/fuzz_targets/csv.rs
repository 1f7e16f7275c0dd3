#![no_main]
use libfuzzer_sys::fuzz_target;
use runner::input::Format;
use runner_fuzz::{plain, read, with_text};

const HEADERS: [&str; 3] =
    ["", "from_account,to_account,msg_key,msg_body\n", "MsgKey,to_account,\"from_account\",a,cloud_custom_data,_x\r\n"];

fuzz_target!(|bytes: &[u8]| {
    for header in HEADERS {
        let list = [header.as_bytes(), bytes].concat();
        read(&list, Format::Csv, plain());
    }
    let list = [b"from_account,to_account,msg_key,a\n", bytes].concat();
    read(&list, Format::Csv, with_text());
});

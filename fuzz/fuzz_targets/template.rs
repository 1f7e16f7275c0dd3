#![no_main]
use std::error::Error;

use libfuzzer_sys::fuzz_target;
use runner::input::{ContentSpec, Format, Input, InputSpec, Mapping};
use runner_fuzz::{can_be_shown, edits};

const LIST: &str = "from_account,to_account,msg_key,a,b,v\na,b,k,\"x\"\"y\n中\",1,\nc,d,k,,[1],\"{\"\"c\"\": 2}\"\n";
const LINES: &str =
    r#"{"From_Account":"a","To_Account":"b","MsgKey":"k","a":"x\"y\n","b":[1,2.5,{"c":null}],"v":{"c":[true]}}"#;

fuzz_target!(|source: &str| {
    let input = InputSpec { ignore: ["a", "b", "v"].map(str::to_owned).to_vec(), ..InputSpec::default() };
    let source = Some(source.to_owned());
    for content in [
        ContentSpec { text: source.clone(), ..ContentSpec::default() },
        ContentSpec { msg_body: source.clone(), ..ContentSpec::default() },
        ContentSpec { cloud_custom_data: source.clone(), ..ContentSpec::default() },
    ] {
        match Mapping::new(&input, &content) {
            Ok(mapping) => {
                for (list, format) in [(LIST, Format::Csv), (LINES, Format::Jsonl)] {
                    edits(&Input::from_reader("list", list.as_bytes(), format).unwrap(), &mapping);
                }
            }
            Err(error) => {
                let mut cause: Option<&dyn Error> = Some(&error);
                while let Some(error) = cause {
                    can_be_shown(&error.to_string());
                    cause = error.source();
                }
            }
        }
    }
});

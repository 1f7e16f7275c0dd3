#![no_main]
use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use libfuzzer_sys::fuzz_target;
use runner::api::usersig;
use runner_fuzz::can_be_shown;

fn decode(text: &str) {
    match usersig::decode(text) {
        Ok(claims) => {
            assert!(!usersig::verify(&claims, &"a key that signed none of these".into()));
            assert!(claims.expires_at() >= claims.time);
        }
        Err(error) => can_be_shown(&error.to_string()),
    }
}

// Tries the bytes as the text itself, as base64-decoded content, and as compressed content.
fuzz_target!(|bytes: &[u8]| {
    let spelled = |bytes: &[u8]| STANDARD.encode(bytes).replace('+', "*").replace('/', "-").replace('=', "_");
    decode(&String::from_utf8_lossy(bytes));
    decode(&spelled(bytes));
    let mut packer = ZlibEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(bytes).unwrap();
    decode(&spelled(&packer.finish().unwrap()));
});

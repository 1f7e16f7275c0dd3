#![no_main]
use libfuzzer_sys::fuzz_target;
use runner::api::endpoint::{ApiMethod, Endpoint, RegionHost};
use runner_fuzz::can_be_shown;

fuzz_target!(|text: &str| {
    match Endpoint::parse(text) {
        Ok(endpoint) => {
            let shown = endpoint.to_string();
            assert!(endpoint.is_loopback() || shown.starts_with("https://"), "{shown}");
            assert!(!endpoint.host_and_port().starts_with(':'), "{shown} has no host");
            assert_eq!(Endpoint::parse(&shown).as_ref(), Ok(&endpoint));
            for call in ApiMethod::ALL {
                let url = endpoint.url(call);
                assert_eq!((url.path(), url.query(), url.username()), (call.path(), None, ""));
            }
        }
        Err(error) => can_be_shown(&error.to_string()),
    }
    if let Err(error) = text.parse::<RegionHost>() {
        can_be_shown(&error.to_string());
    }
});

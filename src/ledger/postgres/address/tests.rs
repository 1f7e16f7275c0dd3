//! What is an address, what it means, and that it says so wherever it is pasted.

use proptest::prelude::*;

use super::*;

fn nothing(_: &str) -> Option<OsString> {
    None
}

fn parse(text: &str) -> Result<PostgresAddress, AddressError> {
    PostgresAddress::parse(text, &nothing)
}

/// What an address means, displayed.
fn means(text: &str) -> String {
    let address = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(parse(&address.to_string()), Ok(address.clone()), "{text}");
    address.to_string()
}

#[test]
fn a_url_is_read_as_libpq_reads_it() {
    for (text, meaning) in [
        ("postgres://me@db/edits?job=may", "postgres://me@db:5432/edits?job=may"),
        ("postgresql://me@db.example.com:6000/e?job=may", "postgres://me@db.example.com:6000/e?job=may"),
        ("postgres://me@a:1,b,[::1]:3/e?job=may", "postgres://me@a:1,b:5432,[::1]:3/e?job=may"),
        ("postgres://me@a,b/e?job=may&port=7", "postgres://me@a:7,b:7/e?job=may"),
        ("postgres:///e?user=me&host=/run/x&job=may", "postgres://me@%2Frun%2Fx:5432/e?job=may"),
        ("postgres://me@%2Frun%2Fx:7/e?job=may", "postgres://me@%2Frun%2Fx:7/e?job=may"),
        // The database is named as the user is, and the job may be named as one likes.
        ("postgres://m%40e@db?job=%E4%BA%94%20%26", "postgres://m%40e@db:5432/m%40e?job=%E4%BA%94%20%26"),
        ("postgres://me@db/e?&job=may&sslmode=require", "postgres://me@db:5432/e?job=may&sslmode=verify-full"),
        ("postgres://me@localhost/e?job=may&sslmode=prefer", "postgres://me@localhost:5432/e?job=may"),
        (
            "postgres://me@db/e?job=may&sslrootcert=/etc/a%20b.pem&connect_timeout=9&allow=fsync-off&application_name=x",
            "postgres://me@db:5432/e?job=may&sslmode=verify-full&sslrootcert=/etc/a%20b.pem&connect_timeout=9&application_name=x&allow=fsync-off",
        ),
    ] {
        assert_eq!(means(text), meaning, "{text}");
    }
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let unknown = |name: &str| AddressError::Unknown { name: name.to_owned() };
    let value = |name, possible| AddressError::Value { name, possible };
    for (text, error) in [
        ("ledger.db", AddressError::Scheme),
        ("postgres://me@db/e", AddressError::NoJob),
        ("postgres://me@db/e?job=", AddressError::Job),
        ("postgres://me@db/e?job=a%0Ab", AddressError::Escape),
        ("postgres://me@db/e?job=%ff", AddressError::Escape),
        ("postgres://me:secret@db/e?job=may", AddressError::Password),
        ("postgres://me:sec/ret@db/e?job=may", AddressError::Password),
        ("postgres://me:sec?ret@db/e?job=may", AddressError::Password),
        ("postgres://me@db/e?job=may&password=secret", AddressError::Password),
        ("postgres://me@db/e?job=may&options=-c%20fsync%3Doff", AddressError::Options),
        ("postgres://me@db/e?job=may&sslcert=x", unknown("sslcert")),
        ("postgres://me@db/e?job=may&job=june", AddressError::Twice { name: "job".to_owned() }),
        ("postgres://me@db/e?job", AddressError::NoValue),
        ("postgres://me@[::1/e?job=may", AddressError::Host),
        ("postgres://me@d b/e?job=may", AddressError::Host),
        ("postgres://me@db:0/e?job=may", AddressError::Port),
        ("postgres://me@db:99999/e?job=may", AddressError::Port),
        ("postgres://me@a,b/e?job=may&port=1,2,3", AddressError::Ports { ports: 3, hosts: 2 }),
        ("postgres://me@db/e?job=may&sslmode=prefer", AddressError::Plain { mode: "prefer".to_owned() }),
        ("postgres://me@localhost,db/e?job=may&sslmode=disable", AddressError::Plain { mode: "disable".to_owned() }),
        ("postgres://me@db/e?job=may&sslmode=no", value("sslmode", "verify-full or require")),
        ("postgres://me@db/e?job=may&allow=all", value("allow", "fsync-off")),
        (
            "postgres://me@db/e?job=may&target_session_attrs=standby",
            value("target_session_attrs", "read-write or primary"),
        ),
    ] {
        assert_eq!(parse(text), Err(error), "{text}");
    }
    for text in ["0", "-1", "3601", "x"] {
        assert!(parse(&format!("postgres://me@db/e?job=may&connect_timeout={text}")).is_err(), "{text}");
    }
}

#[test]
fn what_it_does_not_say_comes_from_the_service_and_then_from_the_environment() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("services");
    std::fs::write(&file, "[edits]\nhost=db1,db2\nport=1,2\ndbname=theirs\npassword=secret\nsslmode=require\n")
        .unwrap();
    let variable = |name: &str| match name {
        "PGSERVICEFILE" => Some(file.clone().into_os_string()),
        "PGUSER" => Some("me".into()),
        "PGHOST" => Some("elsewhere".into()),
        "PGDATABASE" => Some("mine".into()),
        "PGPORT" => Some("9".into()),
        _ => None,
    };
    let means = |text| PostgresAddress::parse(text, &variable).unwrap();
    assert_eq!(means("postgres://?job=may").to_string(), "postgres://me@elsewhere:9/mine?job=may");
    let address = means("postgres://?job=may&service=edits");
    let meaning = "postgres://me@db1:1,db2:2/theirs?job=may&service=edits&sslmode=verify-full";
    assert_eq!(address.to_string(), meaning);
    assert_eq!(means(meaning), address);
    assert!(!format!("{address:?}").contains("secret"));
    // Ports of its hosts are not those of others.
    assert_eq!(means("postgres://db3/?job=may&service=edits").hosts(), [Host { name: "db3".to_owned(), port: 9 }]);
}

#[test]
fn only_on_this_machine_tls_is_not_needed() {
    let uses = |host: &str, rest: &str| {
        let address = parse(&format!("postgres://me@{host}/e?job=may{rest}")).unwrap();
        address.uses_tls(&address.hosts()[0])
    };
    for host in ["localhost", "127.0.0.1", "127.9.9.9", "[::1]", "%2Ftmp"] {
        assert!(!uses(host, ""), "{host}");
    }
    for host in ["db", "10.0.0.1", "localhost.example.com", "0.0.0.0"] {
        assert!(uses(host, ""), "{host}");
    }
    // Also at the end of a tunnel.
    assert!(uses("localhost", "&sslrootcert=ca.pem") && !uses("localhost", "&sslrootcert=ca.pem&sslmode=disable"));
    assert!(uses("localhost", "&sslmode=require") && !uses("%2Ftmp", "&sslmode=require"));
}

proptest! {
    #[test]
    fn any_text_is_an_address_that_can_be_pasted_or_is_refused(
        pieces in prop::collection::vec(prop_oneof![
            8 => prop::sample::select(vec![
                "postgres://", "postgresql://", "me", "@", ":", "/", "?", "&", "=", "job", "job=may", "host=", "port=", "%2F",
                "%", ",", "[", "]", "::1", "localhost", "5432", "0", "sslmode=", "require", "disable", "service=", "allow=",
                "fsync-off", "user=", "dbname=", "password", "connect_timeout=", "sslrootcert=", "é", "%E4%BA%94", "%00", " ",
            ]).prop_map(str::to_owned),
            1 => any::<String>(),
        ], 0..14),
        begins: bool,
        ends: bool,
    ) {
        let text = format!(
            "{}{}{}", if begins { "postgres://" } else { "" }, pieces.concat(), if ends { "?job=may" } else { "" }
        );
        match parse(&text) {
            Ok(address) => {
                let shown = address.to_string();
                prop_assert!(!shown.contains(char::is_control) && !shown.contains(' '), "{}", shown);
                prop_assert_eq!(parse(&shown), Ok(address));
            }
            Err(error) => prop_assert!(!error.to_string().contains(char::is_control)),
        }
    }

    #[test]
    fn any_names_are_kept(user in "[^\0-\x1f\u{7f}-\u{9f}]{1,9}", database in "[^\0-\x1f\u{7f}-\u{9f}]{1,9}", job in "[^\0-\x1f\u{7f}-\u{9f}]{1,9}") {
        let escaped = |text| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let text = format!("postgres://{}@db/{}?job={}", escaped(&user), escaped(&database), escaped(&job));
        let address = parse(&text).unwrap();
        prop_assert_eq!((address.user(), address.database(), address.job()), (&*user, &*database, &*job));
        prop_assert_eq!(parse(&address.to_string()), Ok(address));
    }
}

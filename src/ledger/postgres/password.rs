//! The password, from where libpq's programs have it: a service file, `PGPASSWORD`, or a file of passwords. tokio-postgres
//! reads none of these.

use std::env;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use super::address::{Host, PostgresAddress};
use super::service_file;
use super::url::AddressError;
use crate::system::small_file;

/// The variable that holds a password.
const VARIABLE: &str = "PGPASSWORD";

/// The password for a host; `None` where nothing gives one, which a server may well accept.
pub(super) fn find(address: &PostgresAddress, host: &Host) -> Result<Option<SecretString>, AddressError> {
    find_in(address, host, &|name| env::var_os(name))
}

fn find_in(
    address: &PostgresAddress,
    host: &Host,
    variable: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Option<SecretString>, AddressError> {
    if let Some(service) = address.service()
        && let Some(password) = service_file::find(service, variable)?.password
    {
        return Ok(Some(password));
    }
    if let Some(password) = variable(VARIABLE).filter(|password| !password.is_empty()) {
        return Ok(Some(password.to_string_lossy().into_owned().into()));
    }
    let Some(text) = passwords(variable) else { return Ok(None) };
    let port = host.port.to_string();
    Ok(find_line(&text, [host.password_name(), &port, address.database(), address.user()]))
}

/// The text of the file of passwords. One that others may read is not used, as with libpq.
fn passwords(variable: &dyn Fn(&str) -> Option<OsString>) -> Option<String> {
    let path = variable("PGPASSFILE").filter(|path| !path.is_empty()).map(PathBuf::from);
    let path = path.or_else(|| Some(Path::new(&variable("HOME")?).join(".pgpass")))?;
    let metadata = path.metadata().ok()?;
    if !metadata.is_file() {
        tracing::warn!("the password file {} is not a plain file, so it is not used", path.display());
        return None;
    }
    if metadata.mode() & 0o077 != 0 {
        let path = path.display();
        tracing::warn!("others may read the password file {path}, so it is not used; run: chmod 600 {path}");
        return None;
    }
    match small_file::read_text(&path) {
        Ok(text) => Some(text),
        Err(error) => {
            tracing::warn!("the password file {} cannot be read: {error}", path.display());
            None
        }
    }
}

/// The password of the first line whose host, port, database and user are these, or `*`.
fn find_line(text: &str, wanted: [&str; 4]) -> Option<SecretString> {
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let mut rest = line;
        for wanted in wanted {
            let (field, others) = field(rest)?;
            if field != wanted && &rest[..rest.len() - others.len() - 1] != "*" {
                return None;
            }
            rest = others;
        }
        // What stands behind one more colon is not read.
        let password = field(rest).map_or_else(|| unescaped(rest), |(password, _)| password);
        (!password.is_empty()).then(|| password.into())
    })
}

/// A field, without its escapes, and what comes after its colon.
fn field(line: &str) -> Option<(String, &str)> {
    let mut is_escaped = false;
    let end = line.bytes().position(|byte| {
        let ends = byte == b':' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        ends
    })?;
    Some((unescaped(&line[..end]), &line[end + 1..]))
}

/// A backslash stands for what follows it.
fn unescaped(field: &str) -> String {
    let mut characters = field.chars();
    let mut text = String::new();
    while let Some(character) = characters.next() {
        text.push(if character == '\\' { characters.next().unwrap_or(character) } else { character });
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use proptest::prelude::*;
    use secrecy::ExposeSecret;

    use super::*;

    fn found(text: &str, wanted: [&str; 4]) -> Option<String> {
        find_line(text, wanted).map(|password| password.expose_secret().to_owned())
    }

    #[test]
    fn the_first_line_that_fits_counts() {
        let text = "# db:5432:edits:runner:comment\ntoo:short\ndb:5432:edits:other:1\ndb:*:edits:runner:2\n*:*:*:*:3\n";
        assert_eq!(found(text, ["db", "5433", "edits", "runner"]).as_deref(), Some("2"));
        assert_eq!(found(text, ["db2", "5433", "edits", "runner"]).as_deref(), Some("3"));
        assert_eq!(found("db:5432:edits:runner:4", ["db", "5432", "edits", "run"]), None);
        assert_eq!(found("db:5432:edits:runner:", ["db", "5432", "edits", "runner"]), None);
        assert_eq!(found("db:5432:edits:runner:a:b\r\n", ["db", "5432", "edits", "runner"]).as_deref(), Some("a"));
    }

    #[test]
    fn a_backslash_escapes_colons_and_itself() {
        let text = r"\:\:1:5432:a\\b:\*:x\:y\\z";
        assert_eq!(found(text, ["::1", "5432", r"a\b", "*"]).as_deref(), Some(r"x:y\z"));
        // An escaped star is not every name.
        assert_eq!(found(text, ["::1", "5432", r"a\b", "anyone"]), None);
    }

    #[test]
    fn a_service_comes_before_the_variable_and_that_before_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("passwords"), "*:*:*:*:from the file\n").unwrap();
        std::fs::write(path("services"), "[with]\npassword=from the service\n[without]\nuser=x\n").unwrap();
        set_permissions(path("passwords"), Permissions::from_mode(0o600)).unwrap();
        let find = |service: &str, password: Option<&str>| {
            let variable = |name: &str| match name {
                "PGPASSFILE" => Some(path("passwords").into()),
                "PGSERVICEFILE" => Some(path("services").into()),
                "PGPASSWORD" => password.map(OsString::from),
                _ => None,
            };
            let url = format!("postgres://u@localhost/d?job=j{service}");
            let address = PostgresAddress::parse(&url, &variable).unwrap();
            let found = find_in(&address, &address.hosts()[0], &variable).unwrap();
            found.map(|password| password.expose_secret().to_owned())
        };
        assert_eq!(find("", None).as_deref(), Some("from the file"));
        assert_eq!(find("", Some("from the variable")).as_deref(), Some("from the variable"));
        assert_eq!(find("&service=with", Some("x")).as_deref(), Some("from the service"));
        assert_eq!(find("&service=without", Some("from the variable")).as_deref(), Some("from the variable"));
        // One that others may read.
        set_permissions(path("passwords"), Permissions::from_mode(0o640)).unwrap();
        assert_eq!(find("", None), None);
    }

    proptest! {
        #[test]
        fn any_text_has_a_password_or_not(text in "[\\\\:*a\n#é\r]{0,30}", any: String) {
            for text in [text, any] {
                let _ = found(&text, ["a", "", "é", "*"]);
            }
        }

        #[test]
        fn what_is_escaped_is_found(fields in prop::array::uniform4("[^\r\n\0]{1,8}"), password in "[^\r\n\0]{1,8}") {
            let escaped = |text: &String| text.replace('\\', r"\\").replace(':', r"\:").replace('*', r"\*");
            let mut line: Vec<String> = fields.iter().map(escaped).collect();
            line.push(escaped(&password));
            let line = format!("x:y\n{}\n", line.join(":"));
            prop_assume!(!fields[0].starts_with('#'));
            prop_assert_eq!(found(&line, fields.each_ref().map(String::as_str)), Some(password));
        }
    }
}

//! What the README says is backed: each row of its table of faults names tests, and there are such tests. (That the Chinese one
//! names the same, and that the commands do what they say, is tested with the program.)
#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall say so")]

use std::collections::BTreeSet;
use std::path::Path;

/// The names of all tests: functions behind `#[test]` or `#[tokio::test…]`.
fn tests(directory: &Path, names: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let mut is_test = false;
            for line in text.lines().map(str::trim_start) {
                is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
                let name =
                    line.trim_start_matches("async ").strip_prefix("fn ").and_then(|rest| rest.split('(').next());
                if let Some(name) = name.filter(|_| std::mem::take(&mut is_test)) {
                    names.insert(name.to_owned());
                }
            }
        }
    }
}

#[test]
fn each_row_of_the_table_of_faults_names_tests_that_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let mut names = BTreeSet::new();
    for folder in ["src", "tests"] {
        tests(&root.join(folder), &mut names);
    }
    let table = readme.split("| what happens | what follows | test |").nth(1).unwrap();
    let rows: Vec<&str> = table.lines().skip(2).take_while(|line| line.starts_with('|')).collect();
    assert!(rows.len() > 15, "{}", rows.len());
    for row in rows {
        let cell = row.trim_end_matches('|').rsplit('|').next().unwrap();
        let backing: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
        assert!(!backing.is_empty(), "no test: {row}");
        for name in backing {
            assert!(names.contains(name), "there is no test {name}: {row}");
        }
    }
}

//! What the documents promise is backed: each row of the tables of faults names tests, and there are such tests. (That the Chinese
//! ones name the same, and that the commands do what they say, is tested with the program.) And they can be read: the README is
//! short, and so is each row.
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

fn document(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The rows of the tables of faults, each with its cells.
fn rows(guarantees: &str) -> Vec<Vec<&str>> {
    let tables = guarantees.split("| what happens | what follows | test |").skip(1);
    let rows = tables.flat_map(|table| table.lines().skip(2).take_while(|line| line.starts_with('|')));
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

#[test]
fn each_row_of_the_tables_of_faults_names_tests_that_are_there() {
    let mut names = BTreeSet::new();
    for folder in ["src", "tests"] {
        tests(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut names);
    }
    let guarantees = document("docs/guarantees.md");
    let rows = rows(&guarantees);
    assert!(rows.len() > 60, "{}", rows.len());
    for row in rows {
        let backing: Vec<&str> = row[2].split('`').skip(1).step_by(2).collect();
        assert!(!backing.is_empty(), "no test: {row:?}");
        for name in backing {
            assert!(names.contains(name), "there is no test {name}: {row:?}");
        }
    }
}

/// A row that goes on and on is read by nobody: what is to be explained is explained below the table.
#[test]
fn the_rows_are_short_and_so_is_the_readme() {
    let guarantees = document("docs/guarantees.md");
    for row in rows(&guarantees) {
        assert_eq!(row.len(), 3, "{row:?}");
        let chars = row[0].chars().count() + row[1].chars().count();
        assert!(chars <= 190, "{chars} characters: {row:?}");
        assert!(row[2].matches('`').count() <= 6, "more than three tests: {row:?}");
    }
    for name in ["README.md", "README.zh-CN.md"] {
        let lines = document(name).lines().count();
        assert!(lines <= 150, "{name} has {lines} lines");
    }
}

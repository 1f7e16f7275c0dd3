//! What does it cost to read a list, by its format? The same edits, planned by turns from each of them.

use crate::report::{Figure, Table};
use crate::{Bench, list, process};

pub(crate) fn measure(bench: &Bench) -> Vec<Table> {
    let rows = bench.either(50_000, 500_000);
    let lists = [
        ("CSV", list::csv(bench.file("formats.csv"), 0..rows)),
        ("CSV in GB18030", list::gb18030(bench.file("formats.gb18030.csv"), 0..rows)),
        ("JSON Lines", list::jsonl(bench.file("formats.jsonl"), 0..rows)),
        ("JSON array", list::json_array(bench.file("formats.json"), 0..rows)),
        ("Excel workbook", list::xlsx(bench.file("formats.xlsx"), 0..rows)),
    ];
    let turns = bench.either(3, 7);
    let mut cpu = vec![Vec::new(); lists.len()];
    for _ in 0..turns {
        for (cpu, (name, input)) in cpu.iter_mut().zip(&lists) {
            let mut command = list::runner(input);
            command.arg("--dry-run");
            if name.ends_with("GB18030") {
                command.args(["--encoding", "gb18030"]);
            }
            cpu.push(process::measure(&command).expect_exit(&[0]).cpu.as_secs_f64());
        }
    }
    let title = format!("What reading costs by format: plans of {rows} edits");
    let mut table = Table::new("formats", title, &["CPU of a plan", "of CSV"]);
    for ((name, _), own) in lists.iter().zip(&cpu) {
        let of_csv = own.iter().zip(&cpu[0]).map(|(own, csv)| own / csv);
        let figures = [Figure::new(own.iter().map(|seconds| seconds * 1e3), "ms"), Figure::new(of_csv, "×")];
        table.row(*name, figures.map(Into::into));
    }
    table.note("A plan reads and checks the whole list, and nothing else.".to_owned());
    vec![table]
}

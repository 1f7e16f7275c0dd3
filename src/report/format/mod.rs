//! The JSON that the program prints: each object that another program may read, in one place, so that one thing has one
//! name and one shape everywhere. `docs/schema.json` is made from these types.
//!
//! Within one [`FORMAT`] members are only ever added.

mod common;
mod ledger;
mod run;

use std::io::{self, Write};

use serde::Serialize;

pub use self::common::{AnswerCount, CauseObject, FORMAT, HoldObject, JobObject, RunState};
pub use self::ledger::{
    Act, AuditFindings, AuditObject, CopyObject, File, LatencyCount, LeftOut, LogObject, Manifest, OutcomeObject,
    ReportObject, Run, RunnerObject, SharedObject, Status, VerifyObject,
};
pub use self::run::{Health, OriginalsObject, PlanObject, RunStatus, SummaryObject, ThisRun, WarningObject};

/// Writes an object over several lines, for people who look at it and programs alike.
///
/// # Errors
/// It cannot be written.
pub fn write(out: &mut impl Write, object: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, object)?;
    writeln!(out)
}

/// An object as text over several lines.
///
/// # Errors
/// Never for the types of this module; the serializer's signature allows for it.
pub fn pretty(object: &impl Serialize) -> serde_json::Result<String> {
    Ok(format!("{}\n", serde_json::to_string_pretty(object)?))
}

#[cfg(test)]
mod tests {
    use schemars::JsonSchema;
    use schemars::generate::SchemaSettings;

    use super::*;

    /// Any object that the program prints.
    #[derive(JsonSchema)]
    #[schemars(untagged)]
    #[expect(dead_code, reason = "only its schema is wanted")]
    enum Printed {
        Plan(PlanObject),
        Summary(SummaryObject),
        RunStatus(RunStatus),
        Status(Status),
        Report(ReportObject),
        Manifest(Manifest),
        Copy(CopyObject),
        Audit(AuditObject),
        Verify(VerifyObject),
        Health(Health),
    }

    /// `UPDATE_SCHEMA=1 cargo test --lib the_schema_is_that_of_the_types` writes it anew.
    #[test]
    fn the_schema_is_that_of_the_types() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/schema.json");
        let settings = SchemaSettings::draft2020_12().for_serialize();
        let schema = settings.into_generator().into_root_schema_for::<Printed>();
        let schema = pretty(&schema).unwrap();
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            std::fs::write(path, &schema).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), schema, "UPDATE_SCHEMA=1 writes docs/schema.json anew");
    }
}

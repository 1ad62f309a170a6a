//! `xenledger model`: the data model as JSON, how much of it is served, and the
//! reference that is written from it.

use super::reference;
use super::render::table;
use crate::command::refused::status;
use crate::model::coverage::{self, Counts};
use crate::model::{ClassId, MODEL, export};
use anyhow::Context;
use comfy_table::CellAlignment;
use std::path::PathBuf;

/// Options of `model`.
#[derive(clap::Args, Debug)]
pub struct ModelArgs {
    /// Only these classes.
    #[arg(value_name = "CLASS", conflicts_with_all = ["coverage", "reference"])]
    pub classes: Vec<String>,
    /// Count fields and messages, class by class, and what of them works.
    #[arg(long)]
    pub coverage: bool,
    /// With --coverage: as JSON.
    #[arg(long, requires = "coverage")]
    pub json: bool,
    /// Write the generated pages of the reference into this folder.
    #[arg(long, value_name = "DIR", conflicts_with = "coverage")]
    pub reference: Option<PathBuf>,
}

pub async fn run(args: ModelArgs) -> anyhow::Result<()> {
    if let Some(folder) = &args.reference {
        return reference::write(folder);
    }
    if args.coverage && args.json {
        return super::print(&serde_json::to_string_pretty(&coverage::json(status))?);
    }
    if args.coverage {
        return super::print(&coverage_table());
    }
    let named = args.classes.iter().map(|name| MODEL.class(name).with_context(|| format!("there is no class {name}")));
    let classes = named.collect::<anyhow::Result<Vec<ClassId>>>()?;
    super::print(&serde_json::to_string_pretty(&export::export(&classes, status))?)
}

/// What there is of each class, and the sums.
fn coverage_table() -> String {
    let all = coverage::coverage(status, true);
    let published = coverage::coverage(status, false);
    let mut table = table();
    table.set_header(["CLASS", "FIELDS", "MESSAGES", "WORKING", "REFUSED", "NOT IMPLIED", "WORKING", "REFUSED"]);
    for (class, counts) in &all {
        table.add_row(row(class.name, counts));
    }
    let sum = |of: &[(_, Counts)]| of.iter().map(|(_, counts)| *counts).sum::<Counts>();
    table.add_row(row(&format!("all {} classes", all.len()), &sum(&all)));
    table.add_row(row(&format!("of them the {} published", published.len()), &sum(&published)));
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.trim_fmt()
}

fn row(name: &str, counts: &Counts) -> Vec<String> {
    let Counts { fields, messages, working, declared, declared_working } = *counts;
    let numbers = [fields, messages, working, counts.refused(), declared, declared_working, counts.declared_refused()];
    std::iter::once(name.to_string()).chain(numbers.iter().map(ToString::to_string)).collect()
}

//! `xenledger model`: the data model as JSON.

use crate::model::{ClassId, MODEL, export};
use anyhow::Context;

/// Options of `model`.
#[derive(clap::Args, Debug)]
pub struct ModelArgs {
    /// Only these classes.
    #[arg(value_name = "CLASS")]
    pub classes: Vec<String>,
}

pub async fn run(args: ModelArgs) -> anyhow::Result<()> {
    let named = args.classes.iter().map(|name| MODEL.class(name).with_context(|| format!("there is no class {name}")));
    let classes = named.collect::<anyhow::Result<Vec<ClassId>>>()?;
    super::print(&serde_json::to_string_pretty(&export::export(&classes))?)
}

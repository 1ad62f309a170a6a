//! `xenledger subscription list`, `session list`, `task list`: what there is, as
//! a table for people or as JSON for programs.

use super::client::{Client, ConnectArgs};
use super::render;
use crate::model::MODEL;
use crate::value::{Value, check};

/// What to do with the objects of one class.
#[derive(clap::Subcommand, Debug)]
pub enum ListCommand {
    /// Print them, one a line.
    List(ListArgs),
}

/// Options of `list`.
#[derive(clap::Args, Debug)]
pub struct ListArgs {
    /// Print for programs.
    #[arg(long)]
    pub json: bool,
    /// Fields to print, with commas between them.
    #[arg(long, value_delimiter = ',')]
    pub fields: Vec<String>,
    #[command(flatten)]
    pub connect: ConnectArgs,
}

/// How the objects of one class are listed.
pub struct Listing {
    message: &'static str,
    columns: &'static [&'static str],
    /// What is listed below, by a message that gives records of no class.
    also: Option<(&'static str, &'static [&'static str])>,
}

pub const SUBSCRIPTIONS: Listing = Listing {
    message: "subscription.get_all_records",
    columns: &["name_label", "owner", "state", "lag", "failures", "last_delivery", "destination", "last_error", "uuid"],
    also: Some((
        "subscription.get_streams",
        &["principal", "address", "classes", "began", "lag", "events", "last_delivery"],
    )),
};

pub const SESSIONS: Listing = Listing {
    message: "session.list",
    columns: &["auth_user_name", "originator", "created", "last_active", "expires_at", "uuid"],
    also: None,
};

pub const TASKS: Listing = Listing {
    message: "task.get_all_records",
    columns: &["name_label", "status", "progress", "created", "finished", "error_info", "uuid"],
    also: None,
};

pub async fn run(listing: &Listing, command: ListCommand) -> anyhow::Result<()> {
    let ListCommand::List(args) = command;
    let mut client = Client::login(&args.connect).await?;
    let listed = list(&mut client, listing, &args).await;
    client.logout().await;
    super::print(&listed?)
}

async fn list(client: &mut Client, listing: &Listing, args: &ListArgs) -> anyhow::Result<String> {
    let message = MODEL.message(listing.message).expect("BUG: a message of the model");
    let records = client.call(listing.message, &[]).await?;
    let records = check("result", message.result, records.clone()).unwrap_or(records);
    // Who may not see the others' sees its own alone.
    let also = match &listing.also {
        Some((message, columns)) => client.ask(message, &[]).await?.ok().map(|found| (found, *columns)),
        None => None,
    };
    if args.json {
        let also = also.map(|(found, _)| ("streams", found));
        return match also {
            Some(also) => render::json(&Value::map([("subscriptions", records), also])),
            None => render::json(&records),
        };
    }
    let usual: Vec<String> = listing.columns.iter().map(ToString::to_string).collect();
    let fields = if args.fields.is_empty() { &usual } else { &args.fields };
    let mut text = render::text(message.result, &records, fields);
    if let Some((found, columns)) = also.filter(|(found, _)| !found.as_set().is_empty()) {
        text += &format!("\n\nOpen streams\n{}", render::rows(found.as_set(), columns));
    }
    Ok(text)
}

//! `xenledger call CLASS.MESSAGE ARG…`: one call, printed for people or as JSON.

use super::client::{Client, ConnectArgs};
use super::{arguments, render, tasks};
use crate::model::Message;
use crate::value::{Value, check};

/// Options of `call`.
#[derive(clap::Args, Debug)]
pub struct CallArgs {
    /// The message: VM.start
    pub message: String,
    /// Its arguments in order, without the session: plain text or JSON; lists as a,b; maps as k=v,k=v; objects by
    /// reference, by uuid, or by a name that only one has.
    #[arg(allow_negative_numbers = true)]
    pub args: Vec<String>,
    /// Print for programs.
    #[arg(long)]
    pub json: bool,
    /// Fields of records to print, with commas between them.
    #[arg(long, value_delimiter = ',')]
    pub fields: Vec<String>,
    /// Make it a task, and wait for that with a progress bar.
    #[arg(long = "async")]
    pub background: bool,
    #[command(flatten)]
    pub connect: ConnectArgs,
}

pub async fn run(args: CallArgs) -> anyhow::Result<()> {
    let (message, background) = arguments::message(&args.message)?;
    let mut client = Client::login(&args.connect).await?;
    let called = call(&mut client, message, &args, background || args.background).await;
    client.logout().await;
    let result = called?;
    // What does not fit its type is shown as it came.
    let result = check("result", message.result, result.clone()).unwrap_or(result);
    super::print(&if args.json { render::json(&result)? } else { render::text(message.result, &result, &args.fields) })
}

async fn call(client: &mut Client, message: &Message, args: &CallArgs, background: bool) -> anyhow::Result<Value> {
    let params = arguments::read(client, message, &args.args).await?;
    if background {
        let task = client.call(&format!("Async.{}", message.full_name), &params).await?;
        return tasks::wait(client, &task, message.full_name).await;
    }
    if message.no_session {
        return Ok(client.send(message.full_name, &params).await??);
    }
    client.call(message.full_name, &params).await
}

//! Waiting for a task, with a progress bar where somebody looks.

use super::client::Client;
use crate::value::{Map, Value};
use crate::wire::client::Refusal;
use anyhow::bail;
use indicatif::{ProgressBar, ProgressStyle};

/// How long one poll blocks, in seconds.
const POLL: f64 = 30.0;
/// The parts of a bar.
const PARTS: u64 = 100;

/// Waits until the task is over, removes it, and gives its result.
pub async fn wait(client: &mut Client, task: &Value, name: &str) -> anyhow::Result<Value> {
    let bar = bar(name);
    let ended = ended(client, task, &bar).await;
    bar.finish_and_clear();
    let result = ended.and_then(|record| result(&record));
    drop(client.ask("task.destroy", std::slice::from_ref(task)).await);
    result
}

pub fn bar(name: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {bar:40} {percent}% {elapsed}");
    ProgressBar::new(PARTS).with_style(style.expect("BUG: a template that is fixed")).with_message(name.to_string())
}

/// Moves a bar to where a task's record says it is.
pub fn show(bar: &ProgressBar, record: &Map) {
    let progress = match record.get("progress") {
        Some(Value::Float(progress)) => *progress,
        Some(Value::Int(progress)) => *progress as f64,
        _ => 0.0,
    };
    bar.set_position((progress.clamp(0.0, 1.0) * PARTS as f64) as u64);
}

pub fn is_over(record: &Map) -> bool {
    !matches!(record.get("status").map(Value::as_str), Some("pending" | "cancelling"))
}

/// The task's record once it is over.
async fn ended(client: &mut Client, task: &Value, bar: &ProgressBar) -> anyhow::Result<Map> {
    let subscription = Value::set([Value::text(&format!("task/{}", task.as_str()))]);
    let mut token = Value::text("");
    loop {
        let batch = client.call("event.from", &[subscription.clone(), token, Value::Float(POLL)]).await?;
        for event in batch.as_map().get("events").map(Value::as_set).unwrap_or_default() {
            let event = event.as_map();
            if event.get("ref") != Some(task) {
                continue;
            }
            let Some(record) = event.get("snapshot") else { bail!("the task was removed before it was over") };
            show(bar, record.as_map());
            if is_over(record.as_map()) {
                return Ok(record.as_map().clone());
            }
        }
        token = batch.as_map().get("token").cloned().unwrap_or(Value::text(""));
    }
}

/// What a task that is over came to.
fn result(record: &Map) -> anyhow::Result<Value> {
    let text = |name: &str| record.get(name).map(Value::as_str).unwrap_or_default();
    match text("status") {
        "success" => Ok(Value::text(bare(text("result")))),
        status => {
            let info: Vec<&str> =
                record.get("error_info").map(Value::as_set).unwrap_or_default().iter().map(Value::as_str).collect();
            match info.split_first() {
                Some((code, params)) => {
                    let params = params.iter().map(ToString::to_string).collect();
                    Err(Refusal { code: code.to_string(), params }.into())
                }
                None => bail!("the task ended as {status}"),
            }
        }
    }
}

/// The text in a task's result, which is a piece of XML.
fn bare(result: &str) -> &str {
    result.strip_prefix("<value>").and_then(|rest| rest.strip_suffix("</value>")).unwrap_or(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(status: &str, result: &str, error: &[&str]) -> Map {
        let error = Value::set(error.iter().map(|text| Value::text(text)));
        let record = [("status", Value::text(status)), ("result", Value::text(result)), ("error_info", error)];
        Value::map(record).as_map().clone()
    }

    #[test]
    fn a_task_comes_to_its_result_or_its_error() {
        let made = result(&record("success", "<value>OpaqueRef:x</value>", &[])).expect("a result");
        assert_eq!(made, Value::text("OpaqueRef:x"));
        assert_eq!(result(&record("success", "", &[])).expect("nothing"), Value::text(""));
        let failed = result(&record("failure", "", &["VM_BAD_POWER_STATE", "a", "b"])).expect_err("an error");
        assert_eq!(failed.to_string(), "VM_BAD_POWER_STATE(a, b)");
        assert!(result(&record("cancelled", "", &[])).is_err());
        assert!(!is_over(&record("cancelling", "", &[])) && is_over(&record("cancelled", "", &[])));
    }
}

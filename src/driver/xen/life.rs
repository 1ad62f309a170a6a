//! The life of machines: building them, ending them, saving and restoring
//! them. Each function is called again after a crash with the mark it began
//! with, looks at what is so now, and does what is still missing.
//!
//! ```text
//!            create            pause
//!   nothing ────────▶ running ◀─────▶ paused
//!      ▲ ▲              │ │
//!      │ └── destroy ───┘ └─ shutdown ─▶ ended ── destroy ─▶ nothing
//!      └──── save ──────┘
//! ```

use super::failure::About;
use super::marks::Mark;
use super::xenstore::Watch;
use super::{QUICK, Xen, about, config, disks, domains::Domain, host, mute, xl};
use crate::driver::action::{Action, Config, Image, Manner, Texts};
use crate::driver::{Facts, Progress};
use crate::error::{ApiError, codes};
use crate::value::Ref;
use std::time::Duration;
use tokio::time::sleep;

/// How long building a machine may take.
const BUILD_WAIT: Duration = Duration::from_secs(600);
/// How long saving or restoring one may take; the task's own deadline comes sooner.
const IMAGE_WAIT: Duration = Duration::from_secs(3600);
/// How long a guest may take to shut down before `VM.shutdown` ends it.
const GRACE: Duration = Duration::from_secs(60);
/// How often it is looked whether a guest has shut down, if nobody tells.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The machine that an action works on.
pub fn machine(action: &Action) -> Option<Ref> {
    match action {
        Action::Start(config) | Action::Resume(config, _) | Action::Reboot { config, .. } | Action::Renew(config) => {
            Some(config.machine)
        }
        Action::Pause(machine) | Action::Unpause(machine) | Action::Clear(machine) => Some(*machine),
        Action::Shutdown { machine, .. } | Action::Suspend { machine, .. } | Action::Memory { machine, .. } => {
            Some(*machine)
        }
        Action::Vcpus { machine, .. } | Action::Scheduler { machine, .. } | Action::Signal { machine, .. } => {
            Some(*machine)
        }
        Action::AttachDisk { machine, .. } | Action::DetachDisk { machine, .. } | Action::Media { machine, .. } => {
            Some(*machine)
        }
        Action::AttachNic { machine, .. } | Action::DetachNic { machine, .. } => Some(*machine),
        Action::DetachUsb { machine, .. } => Some(*machine),
        Action::Disks { machine, .. } => *machine,
        _ => None,
    }
}

impl Xen {
    pub(super) async fn start(&self, mark: &Mark, config: &Config) -> Result<Facts, ApiError> {
        if mark.before.is_some() && self.clear(mark, config.machine).await? {
            // It was there before anybody built it.
            return Ok(Facts { domid: mark.before, ..Facts::default() });
        }
        let held = config.paused || !config.store.is_empty();
        let file = self.configured(mark, config)?;
        let mut args = vec!["create", "-q", "-e"];
        args.extend(held.then_some("-p"));
        args.push(&file);
        self.build(mark, config, "create", &args, BUILD_WAIT).await?;
        self.finish(mark, config, held).await
    }

    pub(super) async fn resume(&self, mark: &Mark, config: &Config, image: &Image) -> Result<Facts, ApiError> {
        if mark.before.is_some() && self.clear(mark, config.machine).await? {
            return Ok(Facts { domid: mark.before, ..Facts::default() });
        }
        let path = disks::path(image)?;
        let built = self.domid(config.machine).await?.is_some();
        if !built && !path.exists() {
            return Err(codes::SUSPEND_IMAGE_NOT_ACCESSIBLE(image.disk.uuid_text()));
        }
        let held = config.paused || !config.store.is_empty();
        let (file, saved) = (self.configured(mark, config)?, path.display().to_string());
        let mut args = vec!["restore", "-e"];
        args.extend(held.then_some("-p"));
        args.extend([&*file, &*saved]);
        self.build(mark, config, "restore", &args, IMAGE_WAIT).await?;
        let facts = self.finish(mark, config, held).await?;
        disks::unmake(&[path]);
        Ok(facts)
    }

    /// Writes down what the machine is built from, and makes the bridges that it needs.
    fn configured(&self, mark: &Mark, config: &Config) -> Result<String, ApiError> {
        let disk = |image: &Image| {
            let path = disks::path(image)?;
            if path.exists() { Ok(path) } else { Err(codes::VDI_NOT_AVAILABLE(image.disk.uuid_text())) }
        };
        let places = config::Places { kernels: &self.options.kernels, disk: &disk };
        let text = config::text(config, &places)?;
        for nic in &config.nics {
            host::make_bridge(&nic.bridge)?;
        }
        Ok(self.marks.put_config(mark.task, &text)?.display().to_string())
    }

    async fn build(
        &self,
        mark: &Mark,
        config: &Config,
        command: &str,
        args: &[&str],
        limit: Duration,
    ) -> Result<(), ApiError> {
        if xl::is(&self.marks.said(mark.task), "unpause") {
            return Ok(()); // an earlier server had built it, and was letting it run
        }
        let about = About { memory: config.memory_max, ..about(command, config.machine) };
        match self.work_once(mark.task, &about, args, limit).await {
            Ok(_) => Ok(()),
            Err(error) if error.code == "HOST_NOT_ENOUGH_FREE_MEMORY" => {
                let free = host::free_memory(&self.xl.ask(&["info"]).await.unwrap_or_default());
                Err(codes::HOST_NOT_ENOUGH_FREE_MEMORY(config.memory_max, free.unwrap_or(0)))
            }
            Err(error) => Err(error),
        }
    }

    /// What is left to do once the domain is built: what its guest finds in its store, and letting it run.
    async fn finish(&self, mark: &Mark, config: &Config, held: bool) -> Result<Facts, ApiError> {
        let gone = || codes::DOMAIN_BUILDER_ERROR("create", 0, "the domain went away");
        let domid = self.domid(config.machine).await?.ok_or_else(gone)?;
        for (key, value) in in_store(&config.store) {
            self.store.write(&format!("/local/domain/{domid}/{key}"), value).await.map_err(mute)?;
        }
        if held && !config.paused {
            let number = domid.to_string();
            self.work_once(mark.task, &about("unpause", config.machine), &["unpause", &number], QUICK).await?;
        }
        Ok(Facts { domid: Some(domid), ..Facts::default() })
    }

    /// Takes away the domain that was there before if it has ended; whether it lives.
    async fn clear(&self, mark: &Mark, machine: Ref) -> Result<bool, ApiError> {
        let Some(domain) = self.domain(machine).await?.filter(|domain| Some(domain.domid) == mark.before) else {
            return Ok(false);
        };
        if domain.lives() {
            return Ok(true);
        }
        self.destroy(mark.task, machine, domain.domid).await?;
        Ok(false)
    }

    pub(super) async fn destroy(&self, task: Ref, machine: Ref, domid: i64) -> Result<(), ApiError> {
        let about = about("destroy", machine);
        let ended = self.work(task, &about, &["destroy", &domid.to_string()], QUICK).await;
        let there = |domains: Vec<Domain>| domains.iter().any(|domain| domain.domid == domid && !domain.dying);
        match ended {
            Err(error) if there(self.domains().await?) => Err(error),
            _ => Ok(()),
        }
    }

    /// Takes away all domains of a machine that have ended.
    pub(super) async fn sweep(&self, mark: &Mark, machine: Ref) -> Result<Facts, ApiError> {
        for domain in self.domains().await?.iter().filter(|domain| domain.uuid == machine && domain.ended.is_some()) {
            self.destroy(mark.task, machine, domain.domid).await?;
        }
        Ok(Facts::default())
    }

    pub(super) async fn shutdown(&self, mark: &Mark, machine: Ref, how: Manner) -> Result<Facts, ApiError> {
        if let Some(domain) = self.domain(machine).await? {
            self.bring_down(mark, &domain, how, "shutdown").await?;
        }
        Ok(Facts::default())
    }

    /// Ends a domain; asks its guest first, unless it is to be hard.
    async fn bring_down(&self, mark: &Mark, domain: &Domain, how: Manner, command: &str) -> Result<(), ApiError> {
        let asks = how != Manner::Hard && domain.lives() && !domain.paused;
        match how {
            Manner::Clean if domain.lives() && domain.paused => {
                return Err(codes::VM_BAD_POWER_STATE(domain.uuid.uuid_text(), "running", "paused"));
            }
            Manner::Clean if asks => self.ask_to_end(mark, domain, command).await?,
            Manner::CleanThenHard if asks => tokio::select! {
                // A guest that cannot be asked is ended at once.
                _ = self.ask_to_end(mark, domain, command) => {}
                () = sleep(GRACE) => xl::end(&self.marks.said(mark.task)).await,
            },
            _ => {}
        }
        self.destroy(mark.task, domain.uuid, domain.domid).await
    }

    /// Asks the guest to end, as often as it does not hear, and waits until it has.
    async fn ask_to_end(&self, mark: &Mark, domain: &Domain, command: &str) -> Result<(), ApiError> {
        let (number, about) = (domain.domid.to_string(), about(command, domain.uuid));
        loop {
            // A fully virtualised guest without drivers has its power button pressed.
            let args = [command, "-F", &number];
            let asked = tokio::select! {
                asked = self.work(mark.task, &about, &args, QUICK) => asked,
                // One that has ended meanwhile acknowledges nothing, and `xl` would wait a minute for that.
                () = self.ended_unasked(domain.domid) => {
                    xl::end(&self.marks.said(mark.task)).await;
                    return Ok(());
                }
            };
            match asked {
                Ok(_) => return self.ended(domain.domid).await,
                // It may still be on its way up; the task's deadline says how long that may take.
                Err(error) if error.code == "VM_FAILED_SHUTDOWN_ACKNOWLEDGMENT" => {}
                Err(error) => return Err(error),
            }
            if !self.lives(domain.domid).await? {
                return Ok(());
            }
        }
    }

    async fn lives(&self, domid: i64) -> Result<bool, ApiError> {
        Ok(self.domains().await?.iter().any(|domain| domain.domid == domid && domain.lives()))
    }

    /// Returns when the domain has ended.
    async fn ended(&self, domid: i64) -> Result<(), ApiError> {
        let mut watch = Watch::open(&self.options.socket, &["@releaseDomain"]).await.map_err(mute)?;
        loop {
            if !self.lives(domid).await? {
                return Ok(());
            }
            tokio::select! {
                told = watch.next() => drop(told.map_err(mute)?),
                () = sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// The same, for one that is being asked: as a rule it answers before anybody looks. Who cannot look leaves it to `xl`.
    async fn ended_unasked(&self, domid: i64) {
        sleep(LOOK_EVERY).await;
        if self.ended(domid).await.is_err() {
            std::future::pending().await
        }
    }

    pub(super) async fn reboot(&self, mark: &Mark, config: &Config, clean: bool) -> Result<Facts, ApiError> {
        let old = self.domain(config.machine).await?.filter(|domain| Some(domain.domid) == mark.before);
        if let Some(old) = old {
            // Refused before the machine is ended, if it could not be built again.
            self.configured(mark, config)?;
            self.bring_down(mark, &old, if clean { Manner::Clean } else { Manner::Hard }, "reboot").await?;
        }
        let mark = Mark { before: None, ..mark.clone() };
        self.start(&mark, config).await
    }

    pub(super) async fn suspend(
        &self,
        mark: &Mark,
        machine: Ref,
        image: &Image,
        progress: &Progress,
    ) -> Result<Facts, ApiError> {
        let path = disks::path(image)?;
        let number = match mark.before {
            Some(domid) => domid.to_string(),
            None => return Err(codes::VM_BAD_POWER_STATE(machine.uuid_text(), "running", "halted")),
        };
        let domain = self.domain(machine).await?;
        let begun = xl::is(&self.marks.said(mark.task), "save");
        if !begun && domain.as_ref().is_some_and(|domain| domain.paused) {
            // A guest that stands still does not hear that it shall suspend, and `xl` would wait a minute for that.
            return Err(codes::VM_BAD_POWER_STATE(machine.uuid_text(), "running", "paused"));
        }
        let memory = domain.map_or(0, |domain| domain.memory);
        self.save(mark, machine, &["save", &number], &path, memory, progress).await?;
        let physical_bytes = Some(disks::settle(&path)?);
        Ok(Facts { physical_bytes, ..Facts::default() })
    }

    /// Saves a machine's memory to a file; how much is written tells how far it is.
    pub(super) async fn save(
        &self,
        mark: &Mark,
        machine: Ref,
        args: &[&str],
        path: &std::path::Path,
        memory: i64,
        progress: &Progress,
    ) -> Result<(), ApiError> {
        let (about, file) = (about("save", machine), path.display().to_string());
        let args: Vec<&str> = args.iter().copied().chain([&*file]).collect();
        let saving = self.work_once(mark.task, &about, &args, IMAGE_WAIT);
        let mut saving = std::pin::pin!(saving);
        loop {
            tokio::select! {
                saved = &mut saving => return saved.map(drop),
                () = sleep(LOOK_EVERY) => {
                    let written = std::fs::metadata(path).map_or(0, |about| about.len());
                    progress.send_replace(written as f64 / memory.max(1) as f64);
                }
            }
        }
    }

    pub(super) async fn pause(&self, mark: &Mark, action: &Action, machine: Ref) -> Result<Facts, ApiError> {
        let domain = self.living(machine).await?;
        let command = if matches!(action, Action::Pause(_)) { "pause" } else { "unpause" };
        if domain.paused != (command == "pause") {
            self.work(mark.task, &about(command, machine), &[command, &domain.domid.to_string()], QUICK).await?;
        }
        Ok(Facts::default())
    }

    /// Takes away the domain that an action was building, and lets one go on that it held.
    pub(super) async fn unbuild(&self, mark: &Mark) -> Result<(), ApiError> {
        let Some(machine) = mark.machine else { return Ok(()) };
        let Some(domain) = self.domain(machine).await? else { return Ok(()) };
        let new = Some(domain.domid) != mark.before;
        if mark.builds && new {
            return self.destroy(mark.task, machine, domain.domid).await;
        }
        if mark.holds && !new && domain.paused {
            let number = domain.domid.to_string();
            self.work(mark.task, &about("unpause", machine), &["unpause", &number], QUICK).await?;
        }
        Ok(())
    }
}

/// What the guest finds in its store: only below the node that is for this, whatever the key says.
fn in_store(store: &Texts) -> impl Iterator<Item = (String, &str)> {
    store.iter().filter_map(|(key, value)| {
        let plain = key.split('/').all(|part| !part.is_empty() && part != "..");
        let key = key.strip_prefix("vm-data/").unwrap_or(key);
        plain.then(|| (format!("vm-data/{key}"), &**value))
    })
}

//! What changes about a living machine: its devices, its memory, its
//! processors, its share of them. Each is asked for again after a crash, so
//! each looks first whether it is so already.

use super::failure::About;
use super::marks::Mark;
use super::{QUICK, Xen, about, config, disks, domains::Domain, host, mute};
use crate::driver::Facts;
use crate::driver::action::{Action, Device, Nic, Texts};
use crate::error::{ApiError, codes};
use crate::value::Ref;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long a guest may take to let go of a device before the task's own deadline is all that is left.
const RELEASE_WAIT: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Letters of keys that the kernel of a guest knows.
const KEYS: &str = "bcdefghijklmnopqrstuvwxyz0123456789";

impl Xen {
    /// One change to one living machine.
    pub(super) async fn change(&self, mark: &Mark, action: &Action) -> Result<Facts, ApiError> {
        let Action::MoveNics(nics) = action else {
            let machine = super::life::machine(action).ok_or_else(|| codes::NOT_IMPLEMENTED("this on a real host"))?;
            let domain = self.living(machine).await?;
            return self.change_one(mark, action, &domain).await;
        };
        for (machine, nic) in nics {
            let domain = self.living(*machine).await?;
            self.rewire(domain.domid, nic).await?;
        }
        Ok(Facts::default())
    }

    async fn change_one(&self, mark: &Mark, action: &Action, domain: &Domain) -> Result<Facts, ApiError> {
        let number = domain.domid.to_string();
        match action {
            Action::Memory { target, .. } => {
                self.plainly(mark, domain, &["mem-set", &number, &format!("{}k", target >> 10)]).await
            }
            Action::Vcpus { count, .. } => self.plainly(mark, domain, &["vcpu-set", &number, &count.to_string()]).await,
            Action::Scheduler { params, .. } => self.schedule(mark, domain, params).await,
            Action::Signal { signal, .. } => match signal.split_once(' ') {
                Some(("sysrq", key)) if key.len() == 1 && KEYS.contains(key) => {
                    self.plainly(mark, domain, &["sysrq", &number, key]).await
                }
                Some(("trigger", kind @ ("nmi" | "reset" | "init" | "power" | "sleep" | "s3resume"))) => {
                    self.plainly(mark, domain, &["trigger", &number, kind]).await
                }
                _ => Err(codes::VALUE_NOT_SUPPORTED("signal", signal, "the hypervisor has no such key")),
            },
            Action::AttachDisk { device, .. } => self.attach_disk(mark, domain, device).await,
            Action::DetachDisk { device, .. } => self.detach_disk(mark, domain, device).await,
            Action::Media { device, .. } => self.media(mark, domain, device).await,
            Action::AttachNic { nic, .. } => self.attach_nic(mark, domain, nic).await,
            Action::DetachNic { nic, .. } => {
                let about = About { device: &nic.number, ..about("network-detach", domain.uuid) };
                if self.has(domain, "vif", &nic.number).await? {
                    self.work(mark.task, &about, &["network-detach", &number, &nic.number], QUICK).await?;
                    self.released(domain, "vif", &nic.number).await?;
                }
                Ok(Facts::default())
            }
            _ => Err(codes::NOT_IMPLEMENTED("this on a real host")),
        }
    }

    async fn plainly(&self, mark: &Mark, domain: &Domain, args: &[&str]) -> Result<Facts, ApiError> {
        self.work(mark.task, &about(args[0], domain.uuid), args, QUICK).await?;
        Ok(Facts::default())
    }

    async fn schedule(&self, mark: &Mark, domain: &Domain, params: &Texts) -> Result<Facts, ApiError> {
        let number = domain.domid.to_string();
        let scheduler = host::scheduler(&self.xl.ask(&["info"]).await.unwrap_or_default());
        let command = if scheduler == "credit" { "sched-credit" } else { "sched-credit2" };
        let mut args = vec![command, "-d", &number];
        for (key, option) in [("weight", "-w"), ("cap", "-c")] {
            if let Some(value) = params.get(key).filter(|value| value.parse::<u32>().is_ok()) {
                args.extend([option, value]);
            }
        }
        if args.len() > 3 {
            self.plainly(mark, domain, &args).await?;
        }
        if let Some(processors) = params.get("mask").and_then(|mask| config::processors(mask)) {
            self.plainly(mark, domain, &["vcpu-pin", &number, "all", &processors]).await?;
        }
        Ok(Facts::default())
    }

    async fn attach_disk(&self, mark: &Mark, domain: &Domain, device: &Device) -> Result<Facts, ApiError> {
        let hvm = self.is_hvm(domain).await?;
        let name = config::vdev(device, hvm);
        let path = device.image.as_ref().map(disks::path).transpose()?;
        if let Some(missing) = path.as_ref().filter(|path| !path.exists()) {
            tracing::warn!(path = %missing.display(), "a disk is not there");
            return Err(codes::VDI_NOT_AVAILABLE(
                device.image.as_ref().map_or(Ref::NULL, |image| image.disk).uuid_text(),
            ));
        }
        if !self.has(domain, "vbd", &device_number(&name)?).await? {
            let spec = config::disk_spec(device, hvm, path.as_deref())?;
            let about = About { device: &name, ..about("block-attach", domain.uuid) };
            self.work(mark.task, &about, &["block-attach", &domain.domid.to_string(), &spec], QUICK).await?;
        }
        Ok(Facts { device: Some(name), ..Facts::default() })
    }

    async fn detach_disk(&self, mark: &Mark, domain: &Domain, device: &Device) -> Result<Facts, ApiError> {
        let name = config::vdev(device, self.is_hvm(domain).await?);
        let number = device_number(&name)?;
        if self.has(domain, "vbd", &number).await? {
            let about = About { device: &name, ..about("block-detach", domain.uuid) };
            self.work(mark.task, &about, &["block-detach", &domain.domid.to_string(), &name], QUICK).await?;
            self.released(domain, "vbd", &number).await?;
        }
        Ok(Facts::default())
    }

    /// Guests with emulated drives have their disc changed; for the others a drive without disc is no device.
    async fn media(&self, mark: &Mark, domain: &Domain, device: &Device) -> Result<Facts, ApiError> {
        let number = domain.domid.to_string();
        if !self.is_hvm(domain).await? {
            self.detach_disk(mark, domain, device).await?;
            return match device.image {
                Some(_) => self.attach_disk(mark, domain, device).await,
                None => Ok(Facts::default()),
            };
        }
        let name = config::vdev(device, true);
        match &device.image {
            Some(image) => {
                let path = disks::path(image)?.display().to_string();
                self.plainly(mark, domain, &["cd-insert", &number, &name, &path]).await
            }
            None => self.plainly(mark, domain, &["cd-eject", &number, &name]).await,
        }
    }

    async fn attach_nic(&self, mark: &Mark, domain: &Domain, nic: &Nic) -> Result<Facts, ApiError> {
        if self.has(domain, "vif", &nic.number).await? {
            self.rewire(domain.domid, nic).await?;
            return Ok(Facts::default());
        }
        host::make_bridge(&nic.bridge)?;
        let about = About { device: &nic.number, ..about("network-attach", domain.uuid) };
        let spec = config::nic(nic);
        let mut args = vec!["network-attach".to_string(), domain.domid.to_string()];
        args.extend(spec.split(',').map(str::to_string));
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        self.work(mark.task, &about, &args, QUICK).await?;
        Ok(Facts::default())
    }

    /// Moves an interface to its bridge, without its guest's noticing.
    async fn rewire(&self, domid: i64, nic: &Nic) -> Result<(), ApiError> {
        host::make_bridge(&nic.bridge)?;
        host::move_to_bridge(&format!("vif{domid}.{}", nic.number), &nic.bridge)?;
        let node = format!("/local/domain/0/backend/vif/{domid}/{}/bridge", nic.number);
        self.store.write(&node, &nic.bridge).await.map_err(mute)
    }

    /// Whether the machine has the device, with its back end set up.
    async fn has(&self, domain: &Domain, kind: &str, number: &str) -> Result<bool, ApiError> {
        let node = format!("/local/domain/0/backend/{kind}/{}/{number}/state", domain.domid);
        Ok(self.store.read(&node).await.map_err(mute)?.is_some())
    }

    /// Waits until the guest has let go of the device.
    async fn released(&self, domain: &Domain, kind: &str, number: &str) -> Result<(), ApiError> {
        let until = Instant::now() + RELEASE_WAIT;
        while self.has(domain, kind, number).await? {
            if Instant::now() > until {
                return Err(codes::DEVICE_DETACH_REJECTED(kind, number, "the guest does not let go of it"));
            }
            sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Whether the machine has a device model.
    pub(super) async fn is_hvm(&self, domain: &Domain) -> Result<bool, ApiError> {
        let node = format!("/libxl/{}/type", domain.domid);
        Ok(self.store.read(&node).await.map_err(mute)?.is_some_and(|kind| kind == "hvm"))
    }
}

/// The number that xenstore has for a disk's name.
fn device_number(name: &str) -> Result<String, ApiError> {
    let refused = || codes::INVALID_DEVICE(name);
    let (letters, hd) = match (name.strip_prefix("xvd"), name.strip_prefix("hd")) {
        (Some(letters), _) => (letters, false),
        (None, Some(letters)) => (letters, true),
        (None, None) => return Err(refused()),
    };
    let all = letters.bytes().all(|letter| letter.is_ascii_lowercase()) && matches!(letters.len(), 1 | 2);
    let index = letters.bytes().fold(0u32, |index, letter| index * 26 + u32::from(letter.wrapping_sub(b'a')) + 1);
    match (all, index, hd) {
        (true, 1..=2, true) => Ok((3 << 8 | (index - 1) << 6).to_string()),
        (true, 3..=4, true) => Ok((22 << 8 | (index - 3) << 6).to_string()),
        (true, 1..=16, false) => Ok((202 << 8 | (index - 1) << 4).to_string()),
        (true, 17.., false) => Ok((1 << 28 | (index - 1) << 8).to_string()),
        _ => Err(refused()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_have_the_numbers_that_xenstore_has() {
        let number = |name: &str| device_number(name).ok();
        assert_eq!(number("xvda").as_deref(), Some("51712"));
        assert_eq!(number("xvdp").as_deref(), Some("51952"));
        assert_eq!(number("xvdq").as_deref(), Some("268439552"));
        assert_eq!(number("hda").as_deref(), Some("768"));
        assert_eq!(number("hdd").as_deref(), Some("5696"));
        assert_eq!((number("sda"), number("xvd"), number("xvdA"), number("hde")), (None, None, None, None));
    }
}

//! The published roles, most powerful first, and sets of them.

/// Which roles may do a thing; one bit a role.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Roles(pub u8);

/// The published names, in the order of [`Roles`]' bits.
pub const ROLE_NAMES: [&str; 7] =
    ["pool-admin", "pool-operator", "vm-power-admin", "vm-admin", "vm-operator", "client-cert", "read-only"];

const CLIENT_CERT: u8 = 1 << 5;

#[allow(non_upper_case_globals)]
impl Roles {
    /// No role at all: only the local superuser, who is not one of the published roles.
    pub const local_root: Roles = Roles(1 << 7);
    /// What the local superuser has: every role, and the bit that no role gives.
    pub const superuser: Roles = Roles(u8::MAX);
    /// What somebody has who was given no role.
    pub const none: Roles = Roles(0);
    pub const pool_admin: Roles = Roles(0b1);
    pub const pool_operator: Roles = Roles(0b11);
    pub const vm_power_admin: Roles = Roles(0b111);
    pub const vm_admin: Roles = Roles(0b1111);
    pub const vm_operator: Roles = Roles(0b1_1111);
    /// Everybody.
    pub const read_only: Roles = Roles(0b111_1111);
    pub const pool_operator_or_cert: Roles = Roles(0b11 | CLIENT_CERT);
    pub const vm_power_admin_or_cert: Roles = Roles(0b111 | CLIENT_CERT);
    pub const vm_operator_or_cert: Roles = Roles(0b1_1111 | CLIENT_CERT);

    /// The set of the one role of that name.
    pub fn one(name: &str) -> Option<Roles> {
        ROLE_NAMES.iter().position(|n| *n == name).map(|bit| Roles(1 << bit))
    }

    pub const fn union(self, other: Roles) -> Roles {
        Roles(self.0 | other.0)
    }

    pub const fn intersects(self, other: Roles) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether all of it is given: the local superuser's mark, which no union of roles makes.
    pub const fn is_superuser(self) -> bool {
        self.0 == Roles::superuser.0
    }

    pub fn names(self) -> impl Iterator<Item = &'static str> {
        ROLE_NAMES.iter().enumerate().filter(move |(bit, _)| self.0 & (1 << bit) != 0).map(|(_, name)| *name)
    }
}

//! What befalls machines.

use jiff::Timestamp;
use uuid::Uuid;

use super::{MachineState, VolumeKind, World};
use crate::clock::later;

impl World {
    /// Marks a machine as destroyed; it is expunged when its time has come.
    pub(crate) fn destroy_machine(&mut self, id: Uuid, now: Timestamp) {
        let delay = self.behaviour.expunge_delay;
        if let Some(machine) = self.machines.get_mut(id) {
            machine.state = MachineState::Destroyed;
            machine.expunge_at = Some(later(now, delay));
        }
    }

    /// Removes a machine for good, with its root disk, its addresses and the rules that lead to it. Data disks stay,
    /// and so do key pairs.
    pub(crate) fn expunge_machine(&mut self, id: Uuid) {
        self.discard(id);
        let rules: Vec<_> = self
            .forwards
            .iter()
            .filter(|rule| rule.machine == id)
            .map(|rule| rule.id)
            .collect();
        for rule in rules {
            self.remove_forward(rule);
        }
        let own = self.addresses.iter();
        let own = own.filter(|address| address.static_nat == Some(id));
        let own: Vec<_> = own.map(|address| address.id).collect();
        for address in own {
            self.remove_static_nat(address);
        }
        self.volumes
            .remove_where(|volume| volume.machine == Some(id) && volume.kind == VolumeKind::Root);
        for volume in self
            .volumes
            .iter_mut()
            .filter(|volume| volume.machine == Some(id))
        {
            volume.machine = None;
        }
        self.remove_tags(id);
        self.machines.remove(id);
    }

    /// The next machine to be expunged, and when.
    pub(crate) fn next_expunge(&self) -> Option<(Timestamp, Uuid)> {
        self.machines
            .iter()
            .filter_map(|machine| Some((machine.expunge_at?, machine.id)))
            .min()
    }
}

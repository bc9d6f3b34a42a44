//! A table of entities, in the order in which they were made.

use std::collections::HashSet;

use uuid::Uuid;

/// What has an id.
pub(crate) trait Entity {
    /// The id.
    fn id(&self) -> Uuid;
}

/// Entities by id. Ids of removed ones are remembered: CloudStack keeps the rows, and answers for their ids
/// differently from how it answers for ids it never gave out.
#[derive(Debug)]
pub(crate) struct Table<T> {
    rows: Vec<T>,
    removed: HashSet<Uuid>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            removed: HashSet::new(),
        }
    }
}

impl<T: Entity> Table<T> {
    pub(crate) fn get(&self, id: Uuid) -> Option<&T> {
        self.rows.iter().find(|row| row.id() == id)
    }

    pub(crate) fn get_mut(&mut self, id: Uuid) -> Option<&mut T> {
        self.rows.iter_mut().find(|row| row.id() == id)
    }

    /// Whether the id was ever given out.
    pub(crate) fn knows(&self, id: Uuid) -> bool {
        self.removed.contains(&id) || self.get(id).is_some()
    }

    pub(crate) fn insert(&mut self, row: T) -> Uuid {
        let id = row.id();
        self.rows.push(row);
        id
    }

    pub(crate) fn remove(&mut self, id: Uuid) {
        self.remove_where(|row| row.id() == id);
    }

    pub(crate) fn remove_where(&mut self, gone: impl Fn(&T) -> bool) {
        let removed = &mut self.removed;
        self.rows.retain(|row| {
            let gone = gone(row);
            if gone {
                removed.insert(row.id());
            }
            !gone
        });
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, T> {
        self.rows.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> std::slice::IterMut<'_, T> {
        self.rows.iter_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Row(Uuid);

    impl Entity for Row {
        fn id(&self) -> Uuid {
            self.0
        }
    }

    #[test]
    fn removed_ids_stay_known() {
        let mut table = Table::default();
        let id = table.insert(Row(Uuid::new_v4()));
        assert!(table.knows(id) && !table.knows(Uuid::new_v4()));
        table.remove(id);
        assert!(table.get(id).is_none() && table.knows(id));
    }
}

//! The new contents of a list, for the plan: the first row's, and how many different ones there are.

use std::collections::HashSet;

use crate::edit::{ContentDigest, Edit, Wanted};

/// Different contents that are counted; beyond, there are just more. It bounds the memory, and nobody looks at more.
pub const CONTENTS_MAX: usize = 1_000;

/// What the edits of a list, or of a part of it, want their messages to hold.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    /// The first edit, with the number of its row.
    first: Option<(u64, Edit)>,
    /// One more than are counted, at most.
    different: HashSet<ContentDigest>,
    last: Option<ContentDigest>,
}

impl Contents {
    /// Adds an edit. Those of one part come in the order of the list.
    pub(super) fn push(&mut self, edit: &Edit, wanted: Wanted, row: u64) {
        if self.first.is_none() {
            self.first = Some((row, edit.clone()));
        }
        // Most lists have one content for all rows, or another one for each.
        if self.last.replace(wanted.content) != Some(wanted.content) && self.different.len() <= CONTENTS_MAX {
            self.different.insert(wanted.content);
        }
    }

    pub(super) fn add(&mut self, other: Contents) {
        self.first = self.first.take().into_iter().chain(other.first).min_by_key(|(row, _)| *row);
        let room = (CONTENTS_MAX + 1).saturating_sub(self.different.len());
        let new: Vec<_> = other.different.into_iter().filter(|content| !self.different.contains(content)).collect();
        self.different.extend(new.into_iter().take(room));
    }

    /// The first edit of the list.
    pub fn first(&self) -> Option<&Edit> {
        self.first.as_ref().map(|(_, edit)| edit)
    }

    /// How many different contents there are; `None` if they are more than [`CONTENTS_MAX`].
    pub fn different(&self) -> Option<usize> {
        Some(self.different.len()).filter(|count| *count <= CONTENTS_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edit::{MessageId, MsgBody};

    /// The contents of rows, of which only each `step`th is in this part.
    fn part(texts: &[String], begin: usize, step: usize) -> Contents {
        let mut contents = Contents::default();
        for (index, text) in texts.iter().enumerate().skip(begin).step_by(step) {
            let id = MessageId { from_account: "a".into(), to_account: "b".into(), msg_key: index.to_string() };
            let edit = Edit::new(id, Some(MsgBody::of_text(text)), None).unwrap();
            contents.push(&edit, edit.wanted(), index as u64 + 1);
        }
        contents
    }

    #[test]
    fn different_contents_are_counted_up_to_a_bound() {
        for (count, told) in
            [(0, Some(0)), (1, Some(1)), (7, Some(7)), (1_000, Some(1_000)), (1_001, None), (3_000, None)]
        {
            let texts: Vec<String> = (0..count * 3).map(|number| (number % count).to_string()).collect();
            assert_eq!(part(&texts, 0, 1).different(), told);
            // Read by two threads, of which either may be the first to end.
            for begin in [0, 1] {
                let mut contents = part(&texts, begin, 2);
                contents.add(part(&texts, 1 - begin, 2));
                assert_eq!(contents.different(), told);
                assert!(contents.different.len() <= CONTENTS_MAX + 1);
                assert_eq!(contents.first().map(|edit| edit.id().msg_key.as_str()), (count > 0).then_some("0"));
            }
        }
    }
}

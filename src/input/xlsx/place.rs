//! Places in a sheet: the names of cells, and how many there can be.

/// The size of the largest sheet that the format allows.
pub(super) const ROWS_MAX: u32 = 1_048_576;
pub(super) const COLUMNS_MAX: u32 = 16_384;

/// The column of a cell's name such as `B17`, where the row is as said.
pub(super) fn column_of(name: &str, row: u32) -> Option<u32> {
    let letters = name.bytes().take_while(u8::is_ascii_alphabetic).count();
    let (letters, number) = name.split_at(letters);
    if letters.is_empty() || letters.len() > 3 || number.parse() != Ok(row) {
        return None;
    }
    let number = letters.bytes().fold(0, |sum, letter| sum * 26 + u32::from(letter.to_ascii_uppercase() - b'A') + 1);
    Some(number - 1)
}

/// The letters of a column.
pub(super) fn column_name(column: u32) -> String {
    let (mut name, mut rest) = (String::new(), column + 1);
    while rest > 0 {
        name.insert(0, char::from(b'A' + u8::try_from((rest - 1) % 26).unwrap_or_default()));
        rest = (rest - 1) / 26;
    }
    name
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn columns_have_names(column in 0_u32..COLUMNS_MAX, row in 1_u32..=ROWS_MAX) {
            prop_assert_eq!(column_of(&format!("{}{row}", column_name(column)), row), Some(column));
        }
    }
}

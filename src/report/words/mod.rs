//! What reports and pages say, in the language of who reads them.

pub mod codes_zh;

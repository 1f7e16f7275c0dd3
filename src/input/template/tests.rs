use super::*;

fn render(part: ContentPart, source: &str, columns: &[(&str, &str)]) -> Result<String, String> {
    let template = RowTemplate::compile(part, source).unwrap();
    let columns: Vec<_> = columns.iter().map(|(k, v)| ((*k).to_owned(), Value::from(*v))).collect();
    template
        .render(
            &|name| Ok(columns.iter().find(|(column, _)| column == name).map(|(_, value)| value.clone())),
            &CellRules::default(),
        )
        .map_err(|error| format!("{:?} {}", error.column, error.what))
}

#[test]
fn values_cannot_break_out_of_a_json_string() {
    let hostile = "\"}}],\n\\u0041 中文 🙂 <&>\u{7}";
    let json =
        render(ContentPart::MsgBody, r#"{"a": "x {{ v }} y", "b": {{ v | tojson }}}"#, &[("v", hostile)]).unwrap();
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["a"], format!("x {hostile} y"));
    assert_eq!(value["b"], hostile);
}

#[test]
fn text_is_inserted_unchanged() {
    assert_eq!(render(ContentPart::Text, "<{{ v }}>", &[("v", "a\"b&c\n")]), Ok("<a\"b&c\n>".to_owned()));
}

#[test]
fn columns_may_have_chinese_names() {
    assert_eq!(render(ContentPart::Text, "案件 {{ 案件号 }}", &[("案件号", "七")]), Ok("案件 七".to_owned()));
}

#[test]
fn a_column_whose_name_is_no_word_is_named_in_quotes() {
    let columns =
        [("case number", "7"), ("案件 (号)", "八"), ("range", "r"), ("a\"b", "q"), ("plain", "p"), ("row", "R")];
    for (source, text) in [
        (r#"case {{ row["case number"] }}"#, "case 7"),
        (r"{{ row['案件 (号)'] | upper }}{{ plain }}", "八p"),
        // A function keeps its name.
        (r#"{% for i in range(2) %}{{ row["range"] }}{{ i }}{% endfor %}"#, "r0r1"),
        (r#"{{ row["a\"b"] }}{{ row["plain"] }}"#, "qp"),
        (r#"{{ row["row"] }}"#, "R"),
        (r#"row["x"] {{ row }} {# row["y"] #}{% raw %}{{ row["z"] }}{% endraw %}"#, r#"row["x"] R {{ row["z"] }}"#),
        (r#"{{ row["none"] | default('-') }}"#, "-"),
        (r"{% for row in [[1], [2]] %}{{ row[0] }}{% endfor %}{{ plain }}", "12p"),
    ] {
        assert_eq!(render(ContentPart::Text, source, &columns), Ok(text.to_owned()), "{source}");
    }
    let template = RowTemplate::compile(ContentPart::Text, r#"{{ row["case number"] }}{{ a }}{{ row["a"] }}"#).unwrap();
    assert_eq!(template.columns, ["a", "case number"]);
    insta::assert_snapshot!(
        render(ContentPart::Text, r#"{{ row["case number"] }}"#, &[]).unwrap_err(),
        @r#"Some("case number") is absent or empty in this row, but the job's [content] text needs it"#
    );
}

#[test]
fn a_column_that_is_named_only_by_a_row_is_refused() {
    for (source, says) in [
        ("{{ row[name] }}", "takes the name of a column in quotes"),
        ("{{ row[0] }}", "takes the name of a column in quotes"),
        (r#"{{ row["a" ~ name] }}"#, "takes the name of a column in quotes"),
        (r#"{{ row["a"] }}{{ row }}"#, r#"write row["row"]"#),
        (r#"{{ row["a"] }}{% for x in row %}{{ x }}{% endfor %}"#, r#"write row["row"]"#),
    ] {
        let error = RowTemplate::compile(ContentPart::Text, source).err().unwrap();
        assert!(error.detail().unwrap().contains(says), "{source}: {error}");
    }
}

#[test]
fn an_absent_column_is_named_and_can_have_a_default() {
    insta::assert_snapshot!(
        render(ContentPart::Text, "{{ case_no }}", &[]).unwrap_err(),
        @r#"Some("case_no") is absent or empty in this row, but the job's [content] text needs it"#
    );
    assert_eq!(render(ContentPart::Text, "{{ case_no | default('none') }}", &[]), Ok("none".to_owned()));
    assert_eq!(render(ContentPart::Text, "{% if a is defined %}{{ a }}{% endif %}", &[]), Ok(String::new()));
}

#[test]
fn errors_do_not_quote_values() {
    let error = render(ContentPart::Text, "\n{{ v | round }}", &[("v", "secret")]).unwrap_err();
    insta::assert_snapshot!(error, @"None the job's [content] text cannot be filled in: invalid operation (on line 2 of the template)");
}

#[test]
fn no_template_runs_forever_or_fills_the_memory() {
    let loops = "{% for i in range(100000) %}".repeat(3) + &"{% endfor %}".repeat(3);
    let doubled = format!("{{% set x = v %}}{}{{{{ x | length }}}}", "{% set x = x ~ x %}".repeat(40));
    let work = "None the job's [content] text takes far more work than a message can need; does it loop?";
    let size = "None the job's [content] text produces more than 65536 bytes; does it loop?";
    for (source, says) in [
        (loops.as_str(), work),
        (&doubled, work),
        ("{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(40) }}", work),
        ("{{ (range(100000) | join(v * 10000)) | length }}", work),
        ("{{ (v * 99999999) | length }}", work),
        ("{{ ('%99999999999d' | format(1)) | length }}", work),
        ("{{ v | indent(100000000, true) | length }}", work),
        ("{{ v | replace('', v * 100000) | length }}", work),
        ("{% set x %}{% for i in range(100000) %}{{ v * 1000 }}{% endfor %}{% endset %}", work),
        ("{% for i in range(100000) %}{{ v * 20 }}{% endfor %}", size),
    ] {
        assert_eq!(
            render(ContentPart::Text, source, &[("v", "0123456789")]).as_ref().map_err(String::as_str),
            Err(says),
            "{source}"
        );
    }
}

#[test]
fn no_template_overflows_the_stack() {
    for (begin, step, end) in [
        ("{{ ", "-", "1 }}"),
        ("{{ ", "not ", "1 }}"),
        ("{{ v", "|e", " }}"),
        ("{{ v", "()", " }}"),
        ("{{ v", "+v", " }}"),
        ("{{ v", ".v", " }}"),
        ("{{ v", "[0]", " }}"),
        ("", "{{ row['v'] }}", ""),
        ("{{ ", "1 if 1 else ", "1 }}"),
        ("{{ ", "[", ""),
        ("{% if 1 %}", "{%elif 1%}", "{% endif %}"),
    ] {
        let steps = (TEMPLATE_BYTES_MAX - begin.len() - end.len()) / step.len();
        let source = format!("{begin}{}{end}", step.repeat(steps));
        if let Ok(template) = RowTemplate::compile(ContentPart::Text, &source) {
            // What matters is that it returns.
            let _ = template.render(&|_| Ok(Some(Value::from("x"))), &CellRules::default());
        }
        let spec = ContentSpec { text: Some(source + &" ".repeat(step.len())), ..ContentSpec::default() };
        assert!(Content::new(&spec).is_err());
    }
}

#[test]
fn debug_output_contains_no_content() {
    let spec = ContentSpec {
        text: Some("secret {{ a }}".into()),
        custom_data_as_it_is: Some("secret".into()),
        ..ContentSpec::default()
    };
    let shown = format!("{spec:?} {:?}", Content::new(&spec).unwrap());
    assert!(shown.contains("Text") && !shown.contains("secret"), "{shown}");
}

#[test]
fn what_a_flag_gives_is_no_template_and_has_no_second() {
    let spec = ContentSpec {
        text_as_it_is: Some("{{ a }} {% if".into()),
        custom_data_as_it_is: Some(String::new()),
        ..ContentSpec::default()
    };
    let content = Content::new(&spec).unwrap();
    let Some(ContentSource::Fixed(ContentPart::TextFlag, body)) = &content.body else { panic!("{content:?}") };
    assert_eq!(body.text(), MsgBody::of_text("{{ a }} {% if").text());
    assert!(matches!(&content.data, Some(ContentSource::Fixed(ContentPart::CustomDataFlag, data)) if data.is_empty()));
    assert_eq!(content.columns().count(), 0);
    let long = ContentSpec { text_as_it_is: Some("x".repeat(CONTENT_BYTES_MAX)), ..ContentSpec::default() };
    insta::assert_snapshot!(Content::new(&long).unwrap_err(), @"--text makes 12340 bytes of new content; the service takes 12288 at most");
    for (job, says) in [
        (
            ContentSpec { text: Some("x".into()), ..spec.clone() },
            "--text gives the new content, and so does the job's [content] text",
        ),
        (
            ContentSpec { msg_body: Some("[]".into()), ..spec.clone() },
            "--text gives the new content, and so does the job's [content] msg_body",
        ),
        (
            ContentSpec { cloud_custom_data: Some("x".into()), ..spec.clone() },
            "--custom-data gives the new content, and so does the job's [content] cloud_custom_data",
        ),
    ] {
        assert!(Content::new(&job).unwrap_err().to_string().starts_with(says), "{says}");
    }
}

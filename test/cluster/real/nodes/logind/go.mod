module clb-direct.io/test/logind

go 1.24

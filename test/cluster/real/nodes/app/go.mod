module clb-direct.io/test/app

go 1.24
